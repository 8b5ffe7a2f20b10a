"""The page with a line to type into: here that is standard input, and Enter is the button."""

from __future__ import annotations

import sys
import threading

from duologue import WebSocket


def main(url: str = "ws://echo.websocket.org/") -> None:
    websocket = WebSocket(url)

    def onopen(event):
        print("websocket open")
        print("result: Connection server success")

        # the button works from now on
        def onclick():
            for line in sys.stdin:
                text = line.rstrip("\n")
                # send what was typed to the server
                websocket.send(text)

        threading.Thread(target=onclick, daemon=True).start()

    websocket.onopen = onopen

    def onclose(event):
        print("websocket close")

    websocket.onclose = onclose

    def onmessage(e):
        print(e.data)
        print(f"result: {e.data}")

    websocket.onmessage = onmessage

    websocket.wait_closed()


if __name__ == "__main__":
    main()
