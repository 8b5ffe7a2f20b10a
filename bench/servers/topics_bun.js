// Topics with Bun: µWebSockets (C++) behind JavaScript callbacks. Arguments: port topics groups
const [port, topics, groups] = process.argv.slice(2).map(Number);
const message = "x".repeat(32);
let next = 0;

const server = Bun.serve({
  hostname: "127.0.0.1",
  port,
  fetch(request, server) {
    const group = new URL(request.url).pathname.slice(1);
    return server.upgrade(request, { data: group }) ? undefined : new Response("upgrade, please");
  },
  websocket: {
    perMessageDeflate: false,
    idleTimeout: 960,
    sendPings: false,
    open(ws) {
      if (ws.data === "control") return;
      for (let topic = Number(ws.data); topic < topics; topic += groups) {
        ws.subscribe(`topic/${topic}`);
      }
    },
    message(ws, count) {
      for (let left = Number(count); left > 0; left--) {
        server.publish(`topic/${next}`, message);
        next = (next + 1) % topics;
      }
    },
  },
});
