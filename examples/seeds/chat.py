"""The chat's page at a prompt: every line typed is sent, every message is printed."""

from __future__ import annotations

import sys
import threading

from duologue import WebSocket


def main(url: str = "ws://localhost:8001/") -> None:
    # make the socket
    ws = WebSocket(url)

    # called when the server has agreed
    def onopen(event):
        def send():
            for line in sys.stdin:
                ws.send(line.rstrip("\n"))

        threading.Thread(target=send, daemon=True).start()

    ws.onopen = onopen

    # called when the connection has ended
    def onclose(event):
        print("websocket closed")

    ws.onclose = onclose

    # called with what the server says
    def onmessage(e):
        add_message(e.data)

    ws.onmessage = onmessage

    def add_message(text):
        print(text)

    ws.wait_closed()


if __name__ == "__main__":
    main()
