// npm "nodejs-websocket" as either end; see remote.mjs for the orders.

import library from "nodejs-websocket";
import { once } from "node:events";
import { obey, payload, report, reportMessage } from "./remote.mjs";

library.setMaxBufferLength(16 * 1024 * 1024);
let connection;

function follow(newConnection) {
  connection = newConnection;
  connection.on("text", (text) => reportMessage(text, false));
  connection.on("binary", (stream) => {
    const pieces = [];
    stream.on("data", (piece) => pieces.push(piece));
    stream.on("end", () => reportMessage(Buffer.concat(pieces), true));
  });
  connection.on("pong", (data) => report("pong", { base64: Buffer.from(data).toString("base64") }));
  // The library announces the end again when TCP ends; the first announcement has the code.
  connection.once("close", (code, reason) => report("closed", { code, reason }));
  connection.on("error", (error) => {
    if (connection.readyState === connection.CONNECTING) report("refused", { why: error.message });
  });
}

const opened = () =>
  report("open", { path: connection.path, subprotocol: connection.protocol ?? null });

obey({
  listen({ subprotocols }) {
    const server = library.createServer({ validProtocols: subprotocols }, (newConnection) => {
      follow(newConnection);
      opened();
    });
    server.listen(0, "127.0.0.1", () =>
      report("listening", { port: server.socket.address().port }),
    );
  },
  connect({ url, subprotocols }) {
    follow(library.connect(url, { protocols: subprotocols }, opened));
  },
  send: (order) => connection.send(payload(order)),
  async fragments({ base64s }) {
    const parts = base64s.map((base64) => payload({ base64 }));
    library.setBinaryFragmentation(parts[0].length);
    const stream = connection.beginBinary();
    for (const part of parts) if (!stream.write(part)) await once(stream, "drain");
    stream.end();
  },
  ping: ({ base64 }) => connection.sendPing(payload({ base64 })),
  close: ({ code, reason }) => connection.close(code, reason),
  drop: () => connection.socket.destroy(),
});
