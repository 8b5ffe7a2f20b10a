// npm "ws" with the paths that servers.py describes. The first line of output is its port.

import { createRequire } from "node:module";

const { WebSocketServer } = createRequire(`${process.argv[2]}/`)("ws");

const behaviours = {
  "/echo": (socket, data, binary) => socket.send(data, { binary }),
  "/count": (socket, data, binary) =>
    socket.send(`${binary ? "binary" : "text"} ${binary ? data.length : data.toString().length}`),
  "/close-on-message": (socket, data, binary, close) => close(),
};

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: 0,
  perMessageDeflate: true,
  maxPayload: 16 * 1024 * 1024,
  handleProtocols: (offered) => ["chat.v2", "chat.v1"].find((name) => offered.has(name)) ?? false,
});
server.on("listening", () => console.log(server.address().port));
server.on("connection", (socket, request) => {
  const { pathname, searchParams } = new URL(request.url, "http://localhost");
  const code = searchParams.get("code");
  const close = () => socket.close(code ? Number(code) : undefined, searchParams.get("reason") ?? "");
  socket.on("error", () => {});
  socket.on("message", (data, binary) => behaviours[pathname]?.(socket, data, binary, close));
  if (pathname === "/greet") {
    socket.send("hello");
    socket.send(Buffer.of(0, 1, 255));
  } else if (pathname === "/drop") socket.terminate();
  else if (pathname === "/close") close();
});
process.stdin.on("end", () => process.exit());
process.stdin.resume();
