// Echo with npm ws and bufferutil on Node.js. Arguments: port [deflate]
const { WebSocketServer } = require("ws");
require("bufferutil");

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(process.argv[2]),
  backlog: 1024,
  maxPayload: 16 * 1024 * 1024,
  perMessageDeflate: process.argv[3] === "deflate",
});
server.on("connection", (ws, request) => {
  const broadcasts = request.url === "/broadcast";
  ws.on("error", () => {});
  ws.broadcasts = broadcasts;
  ws.on("message", (data, binary) => {
    if (!broadcasts) return ws.send(data, { binary });
    for (const each of server.clients) if (each.broadcasts) each.send(data, { binary });
  });
});
