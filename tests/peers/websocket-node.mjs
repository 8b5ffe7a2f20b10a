// npm "websocket" (WebSocket-Node) as either end; see remote.mjs for the orders.

import { createServer } from "node:http";
import library from "websocket";
import { listen, obey, payload, report, reportMessage } from "./remote.mjs";

const limits = {
  maxReceivedFrameSize: 16 * 1024 * 1024,
  maxReceivedMessageSize: 16 * 1024 * 1024,
};
let connection;

function follow(newConnection, path) {
  connection = newConnection;
  connection.on("message", ({ type, utf8Data, binaryData }) =>
    reportMessage(type === "utf8" ? utf8Data : binaryData, type === "binary"),
  );
  connection.on("pong", (data) => report("pong", { base64: data.toString("base64") }));
  connection.on("close", (code, reason) => report("closed", { code, reason }));
  report("open", { path, subprotocol: connection.protocol ?? null });
}

obey({
  listen({ subprotocols }) {
    const http = createServer();
    const server = new library.server({ httpServer: http, ...limits });
    server.on("request", (request) => {
      const chosen = subprotocols.find((name) => request.requestedProtocols.includes(name));
      follow(request.accept(chosen ?? null, request.origin), request.resource);
    });
    listen(http);
  },
  connect({ url, subprotocols }) {
    const client = new library.client(limits);
    client.on("connect", (newConnection) => follow(newConnection));
    client.on("connectFailed", (error) => report("refused", { why: String(error) }));
    client.connect(url, subprotocols);
  },
  send: (order) => connection.send(payload(order)),
  fragments({ texts, base64s }) {
    const parts = texts ?? base64s.map((base64) => payload({ base64 }));
    const whole = texts ? parts.join("") : Buffer.concat(parts);
    connection.config.fragmentationThreshold = Buffer.byteLength(parts[0]);
    connection.send(whole);
  },
  ping: ({ base64 }) => connection.ping(payload({ base64 })),
  close({ code, reason }) {
    if (code === undefined) connection.sendCloseFrame(1005);
    else connection.close(code, reason);
  },
  drop: () => connection.socket.destroy(),
});
