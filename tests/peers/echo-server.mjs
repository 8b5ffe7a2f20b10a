// npm "ws" as an echo on 127.0.0.1; prints its port. With PEER_CERTIFICATE it is wss.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { WebSocketServer } from "ws";

const pem = process.env.PEER_CERTIFICATE && readFileSync(process.env.PEER_CERTIFICATE);
const http = pem ? createSecureServer({ key: pem, cert: pem }) : createServer();
const maxPayload = Number(process.env.MAX_PAYLOAD ?? 16 * 1024 * 1024);
const server = new WebSocketServer({ server: http, perMessageDeflate: true, maxPayload });
server.on("connection", (socket) => {
  socket.on("message", (data, binary) => socket.send(data, { binary }));
  socket.on("error", () => {});
});
http.listen(0, "127.0.0.1", () => console.log(http.address().port));
process.stdin.on("end", () => process.exit());
process.stdin.resume();
