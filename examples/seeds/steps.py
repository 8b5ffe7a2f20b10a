"""The steps of a connection: a socket, then its four handlers."""

from __future__ import annotations

from duologue import WebSocket


def main(url: str = "ws://localhost:8001/") -> None:
    # 1. make the socket; the scheme is ws://
    socket = WebSocket(url)

    # 2. set up the four handlers
    def onopen(e):
        # connected: from here on it may send to the server
        socket.send("Hello server!")

    socket.onopen = onopen

    def onclose(e):
        # closed
        print("closed")

    socket.onclose = onclose

    def onerror(e):
        # something went wrong
        print("error")

    socket.onerror = onerror

    def onmessage(e):
        message = e.data  # a message from the server
        print(message)
        socket.close()  # close the socket, or don't

    socket.onmessage = onmessage

    socket.wait_closed()


if __name__ == "__main__":
    main()
