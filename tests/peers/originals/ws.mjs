// ws: who has no token is turned away before the upgrade; what one says, all others hear.

import { createServer } from "node:http";
import { WebSocket, WebSocketServer } from "ws";

const http = createServer();
const server = new WebSocketServer({ noServer: true });

http.on("upgrade", (request, socket, head) => {
  if (request.headers.authorization !== "Bearer let-me-in") {
    socket.end("HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n");
    return;
  }
  server.handleUpgrade(request, socket, head, (ws) => server.emit("connection", ws, request));
});

server.on("connection", (ws) => {
  ws.on("message", (data, isBinary) => {
    for (const client of server.clients) {
      if (client !== ws && client.readyState === WebSocket.OPEN) {
        client.send(data, { binary: isBinary });
      }
    }
  });
});

http.listen(0, "127.0.0.1", () => console.log(`listening on ${http.address().port}`));
process.stdin.resume().on("end", () => process.exit(0));
