// undici's browser-like WebSocket as the client end; see remote.mjs for the orders.

import { WebSocket } from "undici";
import { obey, payload, report, reportMessage } from "./remote.mjs";

let socket;

obey({
  connect({ url, subprotocols }) {
    socket = new WebSocket(url, subprotocols);
    socket.binaryType = "arraybuffer";
    socket.onopen = () =>
      report("open", { subprotocol: socket.protocol || null, extensions: socket.extensions });
    socket.onmessage = ({ data }) => reportMessage(data, typeof data !== "string");
    socket.onerror = ({ error }) => report("refused", { why: String(error) });
    socket.onclose = ({ code, reason }) => report("closed", { code, reason });
  },
  send: (order) => socket.send(payload(order)),
  close: ({ code, reason }) => (code === undefined ? socket.close() : socket.close(code, reason)),
});
