"""Each event twice: with a handler, and with listeners, of which there may be several."""

from __future__ import annotations

from duologue import WebSocket


def main(url: str = "ws://localhost:8080") -> None:
    ws = WebSocket(url)

    def onopen(event):
        ws.send("Hello Server!")

    ws.onopen = onopen

    def also_onopen(event):
        ws.send("Hello again!")

    ws.addEventListener("open", also_onopen)

    def onclose(event):
        code = event.code
        reason = event.reason
        wasClean = event.wasClean
        print("closed", code, reason, wasClean)

    ws.onclose = onclose
    ws.addEventListener("close", onclose)

    def onmessage(event):
        data = event.data
        print("message", data)

    ws.onmessage = onmessage
    ws.addEventListener("message", onmessage)

    def onerror(event):
        print("error")

    ws.onerror = onerror
    ws.addEventListener("error", onerror)

    ws.wait_closed()


if __name__ == "__main__":
    main()
