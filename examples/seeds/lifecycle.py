"""What the text on events, methods and properties shows, in one program."""

from __future__ import annotations

from duologue import WebSocket


def main(url: str = "ws://www.xxx.com", text: str = "data") -> None:
    ws = WebSocket(url)

    def onmessage(e):
        if e.data:  # an empty message is as false as none
            print(e.data)

        ws.close(
            1000,
            "Closing normally!",
        )

    ws.onmessage = onmessage

    def onopen(e):
        print("protocol:", ws.protocol)
        if ws.readyState == WebSocket.OPEN:
            # the connection is there
            ws.send(text)

    ws.onopen = onopen

    def onclose(e):
        print(e.code, e.reason)

    ws.onclose = onclose
    ws.wait_closed()


if __name__ == "__main__":
    main()
