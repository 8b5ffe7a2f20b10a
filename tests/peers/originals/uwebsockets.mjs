// uWebSockets.js: rooms as topics, a user found before the upgrade, bounds of its own.

import uWS from "uWebSockets.js";

uWS
  .App()
  .ws("/room/:name", {
    maxPayloadLength: 16 * 1024,
    idleTimeout: 60,
    upgrade(res, req, context) {
      const user = req.getQuery("user");
      if (!user) return res.writeStatus("401 Unauthorized").end();
      res.upgrade(
        { user, room: req.getParameter(0) },
        req.getHeader("sec-websocket-key"),
        req.getHeader("sec-websocket-protocol"),
        req.getHeader("sec-websocket-extensions"),
        context,
      );
    },
    open(ws) {
      ws.subscribe(ws.getUserData().room);
    },
    message(ws, message, isBinary) {
      const { user, room } = ws.getUserData();
      ws.publish(room, `${user}: ${Buffer.from(message)}`);
      ws.send("sent", isBinary);
    },
  })
  .get("/health", (res) => res.end("ok"))
  .listen("127.0.0.1", 8000, () => {});
