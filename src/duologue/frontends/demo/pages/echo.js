// The script of the echo page. It shows the whole life of a WebSocket:
// connecting, open, messages in both directions, closed.

const text = document.querySelector("#text");
const send = document.querySelector("#send");
const state = document.querySelector("#state");
const result = document.querySelector("#result");

// 1. Connect, to the server this page came from. A page loaded with https must use wss, which is
//    WebSocket over TLS; otherwise it is ws. The connection is made in the background.
const scheme = location.protocol === "https:" ? "wss:" : "ws:";
const websocket = new WebSocket(`${scheme}//${location.host}/echo`);

// 2. The connection is open: from now on, and not before, messages can be sent.
websocket.onopen = () => {
  console.log("websocket open");
  showState(`Open: ${websocket.url}`);
  result.textContent = "Connection server success";
  send.disabled = false;
  send.onclick = () => {
    websocket.send(text.value);
  };
};

// 3. A message has arrived: here, the one we have sent. The data is a string, because we only send
//    strings. It goes in as textContent, never as innerHTML: it may come from anybody.
websocket.onmessage = (event) => {
  console.log(event.data);
  result.textContent = event.data;
};

// 4. The connection is closed, by either side or because the network failed; the code tells.
//    1000 is a normal end, 1001 a server or page that goes away, 1006 an end without goodbye.
websocket.onclose = (event) => {
  console.log("websocket close");
  showState(`Closed: ${event.code} ${event.reason} – reload the page to connect again`);
  send.disabled = true;
};

// 5. Something went wrong. Browsers don't tell a page what it was, and "close" always follows.
websocket.onerror = () => {
  console.log("websocket error");
};

// The Enter key presses the button.
text.onkeydown = (event) => {
  if (event.key === "Enter") send.click();
};

function showState(words) {
  state.textContent = words;
  state.dataset.open = websocket.readyState === WebSocket.OPEN;
}
