"""The chat of the tutorials on nodejs-websocket, on port 8001."""

from __future__ import annotations

import duologue

# nodejs-websocket asks nobody where a page comes from, and never compresses.
app = duologue.App(origins="*", allowed_hosts="*", compression=None)
count = 0


@app.websocket("/{path:path}")
async def chat(ws: duologue.ServerConnection) -> None:
    global count
    count += 1
    ws.subscribe("chat")
    app.publish("chat", f"user{count} come in!")
    print("New connection")
    try:
        async for message in ws:
            if isinstance(message, str):
                print(f"Received {message}")
                app.publish("chat", message)
    finally:
        print("Connection closed")


if __name__ == "__main__":
    print("websocket server connection on port 8001")
    app.run(port=8001)
