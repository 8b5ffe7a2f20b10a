"""Has everything been sent?"""

from __future__ import annotations

from duologue import WebSocket


def main(url: str = "wss://echo.websocket.org") -> None:
    socket = WebSocket(url)

    def onopen(event):
        data = bytes(10000000)
        socket.send(data)

        if socket.bufferedAmount == 0:
            print("all sent")
        else:
            print("not yet:", socket.bufferedAmount)

    socket.onopen = onopen

    def onmessage(event):
        print("echoed, waiting to be sent:", socket.bufferedAmount)
        socket.close()

    socket.onmessage = onmessage
    socket.wait_closed()


if __name__ == "__main__":
    main()
