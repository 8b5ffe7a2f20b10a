// Echo with Bun: µWebSockets (C++) behind a JavaScript callback. Arguments: port [deflate]
const deflate = process.argv[3] === "deflate";
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.argv[2]),
  fetch(request, server) {
    const path = new URL(request.url).pathname;
    return server.upgrade(request, { data: path }) ? undefined : new Response("upgrade, please");
  },
  websocket: {
    perMessageDeflate: deflate,
    maxPayloadLength: 16 * 1024 * 1024,
    backpressureLimit: 64 * 1024 * 1024,
    open(ws) {
      if (ws.data === "/broadcast") ws.subscribe("everybody");
    },
    message(ws, message) {
      if (ws.data === "/broadcast") server.publish("everybody", message);
      else ws.send(message, deflate);
    },
  },
});
