// Topics with Socket.IO: rooms, over ws with its native add-ons, as its documentation advises.
// Arguments: port topics groups
const { createServer } = require("http");
const { Server } = require("socket.io");

const [port, topics, groups] = process.argv.slice(2).map(Number);
const message = "x".repeat(32);
let next = 0;

const http = createServer();
const io = new Server(http, {
  transports: ["websocket"],
  serveClient: false,
  perMessageDeflate: false,
  // No ping falls into a measurement.
  pingInterval: 3600000,
});

io.on("connection", (socket) => {
  const { group } = socket.handshake.query;
  if (group !== "control") {
    const rooms = [];
    for (let topic = Number(group); topic < topics; topic += groups) rooms.push(`topic/${topic}`);
    socket.join(rooms);
    return;
  }
  socket.on("publish", (count) => {
    for (let left = count; left > 0; left--) {
      io.to(`topic/${next}`).emit("m", message);
      next = (next + 1) % topics;
    }
  });
});

http.listen(port, "127.0.0.1");
