"""The first program of every tutorial: say hello, print the answer, hang up."""

from __future__ import annotations

from duologue import WebSocket


def main(url: str = "wss://echo.websocket.org", greeting: str = "Connection open ...") -> None:
    ws = WebSocket(url)

    def onopen(evt):
        print(greeting)
        ws.send("Hello WebSockets!")

    ws.onopen = onopen

    def onmessage(evt):
        print("Received Message: " + evt.data)
        ws.close()

    ws.onmessage = onmessage

    def onclose(evt):
        print("Connection closed.")

    ws.onclose = onclose

    ws.wait_closed()  # a page stays; a script would end here


if __name__ == "__main__":
    main()
