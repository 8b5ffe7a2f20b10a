"""What a thread for each connection costs with an interpreter: a loop of recv and sendall.

It answers short frames of well-behaved clients that have come whole, knows no others, and must
never be used for anything but to measure against.
"""

from __future__ import annotations

import socket
import sys
import threading

# The answer to the generator's key.
HEAD = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


def talk(sock: socket.socket) -> None:
    """Answer one connection's messages."""
    with sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not sock.recv(4096):
            return
        sock.sendall(HEAD)
        while frame := sock.recv(4096):
            size = len(frame) - 6
            key = frame[2:6] * (size // 4 + 1)
            mask = int.from_bytes(key[:size], "little")
            payload = int.from_bytes(frame[6:], "little") ^ mask
            sock.sendall(frame[:1] + bytes([size]) + payload.to_bytes(size, "little"))


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", int(sys.argv[2])), backlog=1000) as listener:
        while True:
            threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()
