// WebSocket-Node: a router for two subprotocols, and requests that are accepted or rejected.

import { createServer } from "node:http";
import library from "websocket";

const http = createServer((request, response) => response.writeHead(404).end());
const server = new library.server({ httpServer: http });
const router = new library.router({ server });

router.mount("/echo", "echo-protocol", (request) => {
  if (request.origin !== "http://example.com") {
    request.reject(403, "This origin is not allowed.");
    return;
  }
  const connection = request.accept(request.origin);
  connection.on("message", (message) => {
    if (message.type === "utf8") connection.sendUTF(message.utf8Data);
    else connection.sendBytes(message.binaryData);
  });
});

router.mount("/time", "time-protocol", (request) => {
  const connection = request.accept(request.origin, [{ name: "seen", value: "1" }]);
  connection.sendUTF("12:00");
  connection.close(4000, "that is all");
});

http.listen(0, "127.0.0.1", () => console.log(`listening on ${http.address().port}`));
process.stdin.resume().on("end", () => process.exit(0));
