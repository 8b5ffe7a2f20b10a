// npm "ws" as either end; see remote.mjs for the orders.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { WebSocket, WebSocketServer } from "ws";
import { listen, obey, payload, report, reportMessage } from "./remote.mjs";

const MAX_PAYLOAD = 16 * 1024 * 1024;
let socket;

function follow(webSocket, path) {
  socket = webSocket;
  let tcp;
  socket.on("upgrade", (response) => (tcp = response.socket));
  socket.on("message", (data, binary) => reportMessage(data, binary, tcp?.bytesRead));
  socket.on("pong", (data) => report("pong", { base64: data.toString("base64") }));
  socket.on("close", (code, reason) => report("closed", { code, reason: reason.toString() }));
  socket.on("error", (error) => report("refused", { why: error.message }));
  const opened = () =>
    report("open", { path, subprotocol: socket.protocol || null, extensions: socket.extensions });
  if (socket.readyState === WebSocket.OPEN) opened();
  else socket.on("open", opened);
  return (stream) => (tcp = stream);
}

obey({
  listen({ subprotocols, deflate }) {
    const pem = process.env.PEER_CERTIFICATE && readFileSync(process.env.PEER_CERTIFICATE);
    const http = pem ? createSecureServer({ key: pem, cert: pem }) : createServer();
    const server = new WebSocketServer({
      server: http,
      perMessageDeflate: deflate,
      maxPayload: MAX_PAYLOAD,
      handleProtocols: (offered) => subprotocols.find((name) => offered.has(name)) ?? false,
    });
    server.on("connection", (webSocket, request) => {
      follow(webSocket, request.url)(request.socket);
    });
    listen(http);
  },
  connect({ url, subprotocols, deflate }) {
    follow(
      new WebSocket(url, subprotocols, { perMessageDeflate: deflate, maxPayload: MAX_PAYLOAD }),
    );
  },
  send: (order) => socket.send(payload(order)),
  fragments({ texts, base64s }) {
    const parts = texts ?? base64s.map((base64) => payload({ base64 }));
    parts.forEach((part, index) => {
      socket.send(part, { fin: index === parts.length - 1, binary: texts === undefined });
    });
  },
  ping: ({ base64 }) => socket.ping(payload({ base64 })),
  close: ({ code, reason }) => socket.close(code, reason),
  drop: () => socket.terminate(),
});
