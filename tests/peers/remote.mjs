// A WebSocket endpoint that a test drives from outside.
//
// Orders arrive on standard input, one JSON object a line; what happens is reported on standard
// output in the same form. The process ends when its input ends, so it cannot outlive its test.
//
// Orders:  {do: "listen", subprotocols, deflate}   {do: "connect", url, subprotocols, deflate}
//          {do: "send", text | base64}             {do: "fragments", texts | base64s}
//          {do: "ping", base64}                    {do: "close", code, reason}
//          {do: "drop"}
// Reports: {is: "listening", port}                 {is: "open", subprotocol, path, extensions}
//          {is: "message", text | base64, octets}  {is: "pong", base64}
//          {is: "closed", code, reason}            {is: "refused", why}

import { createInterface } from "node:readline";

export function report(is, details = {}) {
  process.stdout.write(JSON.stringify({ is, ...details }) + "\n");
}

export function reportMessage(data, binary, octets = null) {
  if (binary) report("message", { base64: Buffer.from(data).toString("base64"), octets });
  else report("message", { text: data.toString(), octets });
}

export function payload({ text, base64 }) {
  return base64 === undefined ? text : Buffer.from(base64, "base64");
}

/** Runs the orders one after another; `orders` maps each name to a function. */
export function obey(orders) {
  let turn = Promise.resolve();
  createInterface({ input: process.stdin })
    .on("line", (line) => {
      const order = JSON.parse(line);
      turn = turn
        .then(() => orders[order.do](order))
        .catch((error) => report("failed", { why: String(error.stack) }));
    })
    .on("close", () => process.exit(0));
}

/** Listens on a port chosen by the operating system, on the loopback interface only. */
export function listen(server) {
  server.listen(0, "127.0.0.1", () => report("listening", { port: server.address().port }));
}
