// The script of the chat page. Each page in the room has its own WebSocket to the server;
// the server passes what one says on to all of them, the speaker included.

const text = document.querySelector("#text");
const send = document.querySelector("#send");
const state = document.querySelector("#state");
const messages = document.querySelector("#messages");

// Connect to the server this page came from: wss if the page came over https, else ws.
const scheme = location.protocol === "https:" ? "wss:" : "ws:";
const ws = new WebSocket(`${scheme}//${location.host}/`);

// The server has accepted us. It announces every newcomer to all, so we'll hear of ourselves.
ws.onopen = () => {
  showState("Connected");
  send.disabled = false;
  send.onclick = () => {
    ws.send(text.value);
    text.value = "";
    text.focus();
  };
};

// Nothing more will come, and what we would send now goes nowhere.
ws.onclose = (event) => {
  console.log("websocket closed");
  showState(`Closed: ${event.code} ${event.reason} – reload the page to come back`);
  send.disabled = true;
};

// Somebody said something. Nobody asked for it: the server has pushed it.
ws.onmessage = (event) => {
  addMessage(event.data);
};

// Adds a message at the end. textContent keeps it text: with innerHTML, anybody in the room could
// put a script into everybody's page.
function addMessage(words) {
  const atEnd = messages.scrollTop + messages.clientHeight >= messages.scrollHeight - 8;
  const line = document.createElement("div");
  line.textContent = words;
  messages.append(line);
  // Follow the talk, unless the reader has scrolled up to read.
  if (atEnd) messages.scrollTop = messages.scrollHeight;
}

// The Enter key presses the button.
text.onkeydown = (event) => {
  if (event.key === "Enter") send.click();
};

function showState(words) {
  state.textContent = words;
  state.dataset.open = ws.readyState === WebSocket.OPEN;
}
