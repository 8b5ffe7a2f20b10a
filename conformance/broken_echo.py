"""A server that is wrong on purpose: the run that judges it must find it failing.

It echoes, but strips the last character of every text, answers a ping with an empty pong, never
looks at UTF-8 and keeps silent about a close frame after a binary message. It is written straight
on a socket, so that no library mends it.
"""

from __future__ import annotations

import base64
import hashlib
import socketserver
import struct

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class BrokenEcho(socketserver.StreamRequestHandler):
    """One connection of the broken server."""

    silent = False

    def handle(self) -> None:
        """Shake hands properly, then answer frame by frame without any check."""
        key = b""
        while (line := self.rfile.readline().strip()) != b"":
            name, _, value = line.partition(b":")
            if name.lower() == b"sec-websocket-key":
                key = value.strip()
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        self.wfile.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        try:
            while self.answer_frame():
                pass
        except (OSError, ValueError, struct.error):
            pass  # the peer is gone

    def answer_frame(self) -> bool:
        """Answer one frame; return whether more may follow."""
        first, second = self.rfile.read(2)
        length = second & 127
        if length == 126:
            (length,) = struct.unpack("!H", self.rfile.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self.rfile.read(8))
        mask = self.rfile.read(4)
        data = bytes(octet ^ mask[i % 4] for i, octet in enumerate(self.rfile.read(length)))
        opcode = first & 15
        if opcode == 8 and self.silent:
            return True
        self.silent = opcode == 2
        if opcode == 1:
            data = data[:-1]
        elif opcode == 9:
            first, data = 0x8A, b""
        head = bytes([first])
        head += bytes([len(data)]) if len(data) < 126 else struct.pack("!BH", 126, len(data))
        self.wfile.write(head + data)
        return opcode != 8


class Server(socketserver.ThreadingTCPServer):
    """Listens on loopback, on a port of the system's choice."""

    allow_reuse_address = True
    daemon_threads = True


def main() -> None:
    with Server(("127.0.0.1", 0), BrokenEcho) as server:
        host, port = server.server_address[:2]
        print(f"ws://{host!s}:{port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
