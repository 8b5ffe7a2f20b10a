// The tutorial's function. Its address was ws://localhost:9998/echo, and it left closing to whoever
// closes the page. The log is new: it says the same as the pop-ups, and stays.
import { $, address, say } from "./common.js";

function tell(words) {
  say($("#log"), words);
  alert(words);
}

function WebSocketTest() {
  if ("WebSocket" in window) {
    tell("您的浏览器支持 WebSocket!");

    // 打开一个 web socket
    const ws = new WebSocket(address("/echo"));

    ws.onopen = function () {
      // Web Socket 已连接上,使用 send() 方法发送数据
      ws.send("发送数据");
      tell("数据发送中...");
    };

    ws.onmessage = function (evt) {
      const received_msg = evt.data;
      tell("数据已接收...");
      say($("#log"), received_msg);
      ws.close();
    };

    ws.onclose = function () {
      // 关闭 websocket
      tell("连接已关闭...");
    };
  } else {
    // 浏览器不支持 WebSocket
    tell("您的浏览器不支持 WebSocket!");
  }
}

$("#run").onclick = WebSocketTest;
