"""Text, a file and pixels to an echo server, and what comes back."""

from __future__ import annotations

from pathlib import Path

from duologue import Blob, WebSocket


def main(url: str = "wss://echo.websocket.org", path: str = __file__) -> None:
    ws = WebSocket(url)

    def onopen(event):
        # text
        ws.send("your message")

        # a Blob: the file that was chosen
        file = Blob([Path(path).read_bytes()])
        ws.send(file)

        # an ArrayBuffer: the pixels of a canvas of 400 by 320, four octets each
        img = bytes(400 * 320 * 4)
        binary = bytearray(len(img))
        for i in range(len(img)):
            binary[i] = img[i]
        ws.send(binary)

    ws.onopen = onopen

    def onmessage(event):
        if isinstance(event.data, str):
            print("Received data string")
        if isinstance(event.data, bytes):  # what JavaScript has an ArrayBuffer for
            buffer = event.data
            print("Received arraybuffer")
            print(len(buffer))  # byteLength
            ws.close()
        if isinstance(event.data, Blob):
            print(event.data.size)
            # from now on, octets come as bytes
            ws.binaryType = "arraybuffer"

    # what octets come as, unless told otherwise
    ws.binaryType = "blob"
    ws.onmessage = onmessage
    ws.wait_closed()


if __name__ == "__main__":
    main()
