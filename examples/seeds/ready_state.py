"""The four states of a socket."""

from __future__ import annotations

from duologue import WebSocket


def describe(ws: WebSocket) -> str:
    match ws.readyState:
        case WebSocket.CONNECTING:
            return "connecting"
        case WebSocket.OPEN:
            return "open"
        case WebSocket.CLOSING:
            return "closing"
        case WebSocket.CLOSED:
            return "closed"
        case _:
            # this never happens
            raise AssertionError


def main(url: str = "ws://localhost:8080") -> None:
    ws = WebSocket(url)
    print(describe(ws))

    def onopen(event):
        print(describe(ws))
        ws.close()
        print(describe(ws))

    ws.onopen = onopen
    ws.wait_closed()
    print(describe(ws))


if __name__ == "__main__":
    main()
