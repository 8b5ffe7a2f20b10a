// The page connects as soon as it is opened and logs each step in Chinese, as the original does.
import { $, address, say } from "./common.js";

const log = $("#log");
const text = $("#text");

const ws = new WebSocket(address("/echo"));

ws.onopen = () => {
  say(log, "WebSocket已经打开: ");
};
ws.onmessage = (event) => {
  say(log, `WebSocket收到消息: ${event.data}`);
};
ws.onclose = () => {
  say(log, "WebSocket关闭: ");
};
ws.onerror = () => {
  say(log, "WebSocket发生错误: ");
};

function send() {
  if (text.value === "") return; // nothing typed, nothing sent
  if (ws.readyState !== WebSocket.OPEN) return;
  say(log, `WebSocket发送消息: ${text.value}`);
  ws.send(text.value);
  text.value = "";
}

$("#send").onclick = send;
text.onkeydown = (event) => {
  // Not while an input method is composing: there, Enter chooses a character.
  if (event.key === "Enter" && !event.isComposing) send();
};
