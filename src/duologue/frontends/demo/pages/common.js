// What the pages have in common: finding the server, waiting for a socket, showing lines.

export const $ = (selector) => document.querySelector(selector);

// The address of a WebSocket on the server this page came from. A page loaded with https must use
// wss, which is WebSocket over TLS; otherwise it is ws.
export function address(path) {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  return `${scheme}//${location.host}${path}`;
}

// ----- Waiting ----------------------------------------------------------------------------------

// Events tell what happens; a promise is handy to wait for one of them.
export function opened(socket) {
  return new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve, { once: true });
    socket.addEventListener("close", reject, { once: true });
  });
}

export function nextMessage(socket) {
  return new Promise((resolve, reject) => {
    socket.addEventListener("message", (event) => resolve(event.data), { once: true });
    socket.addEventListener("close", reject, { once: true });
  });
}

// "close" is always the last event, whatever went wrong before it.
export function ended(socket) {
  return new Promise((resolve) => socket.addEventListener("close", resolve, { once: true }));
}

export const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

// ----- The lab's connections --------------------------------------------------------------------

// The lab tells each connection its name first, so that we can ask later how it ended.
export async function visitLab(path = "/lab") {
  const socket = new WebSocket(address(path));
  const { visit } = JSON.parse(await nextMessage(socket));
  return { socket, visit };
}

// The connection in question is closed, so the question needs another one.
export async function howItEnded(visit) {
  const { socket } = await visitLab();
  socket.send(JSON.stringify({ do: "ending", visit }));
  const { ending } = JSON.parse(await nextMessage(socket));
  socket.close(1000);
  return ending;
}

// ----- Words ------------------------------------------------------------------------------------

export const STATES = ["CONNECTING", "OPEN", "CLOSING", "CLOSED"];

export function describe(close) {
  const reason = close.reason ? ` “${close.reason}”` : "";
  return `code ${close.code}${reason}, wasClean ${close.wasClean}`;
}

export const number = (value) => value.toLocaleString("en");

// Adds a line to a log. textContent keeps it text: it may come from anybody.
const MAX_LINES = 100;
export function say(log, words) {
  const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
  const line = document.createElement("div");
  line.textContent = words;
  log.append(line);
  while (log.childElementCount > MAX_LINES) log.firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

// Runs an action when a button is pressed, but not twice at once. The button isn't disabled
// meanwhile, since a disabled one would lose the keyboard's focus.
export function onClick(button, action) {
  button.onclick = async () => {
    if (button.ariaDisabled) return;
    button.ariaDisabled = "true";
    try {
      await action();
    } catch (error) {
      // A server that has gone away must not leave the visitor without an answer.
      const why = error instanceof CloseEvent ? `closed, ${describe(error)}` : `${error}`;
      say(button.closest("section").querySelector("[role=log]"), why);
    } finally {
      button.ariaDisabled = null;
    }
  };
}
