"""Opens WebSockets over and over, waits until the server ends each; standard library only.

Prints how many a second were opened and ended, and the share of the time in which it waited. Who is
sent a Close frame answers it, as RFC 6455 section 5.5.1 says; who isn't hears the end all the same.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import time

CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"
PATIENCE = 10.0


class Slot:
    """One connection at a time."""

    def __init__(self, port: int, waiting: select.epoll) -> None:
        self._port = port
        self._waiting = waiting
        self.count = 0

    def open(self) -> int:
        """Connect and ask for the upgrade; return the descriptor."""
        self._sock = socket.create_connection(("127.0.0.1", self._port))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock.sendall(
            b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" % self._port
        )
        self._octets = b""
        self._closing = False
        self._waiting.register(self._sock, select.EPOLLIN)
        return self._sock.fileno()

    def read(self) -> bool:
        """Read once; return whether the connection has ended."""
        octets = self._sock.recv(4096)
        self._octets += octets
        head, separator, frames = self._octets.partition(b"\r\n\r\n")
        if octets:
            if separator and frames[:1] == b"\x88" and not self._closing:
                self._closing = True
                self._sock.sendall(CLOSE)
            return False
        if not separator or not head.startswith(b"HTTP/1.1 101 "):
            raise SystemExit(f"no upgrade: {self._octets!r}")
        self._waiting.unregister(self._sock)
        self._sock.close()
        self.count += 1
        return True


def main() -> None:
    """Run for the warm-up and a while, then print the figures of the latter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--warmup", type=float, default=0.2)
    parser.add_argument("--duration", type=float, default=1.0)
    arguments = parser.parse_args()
    waiting = select.epoll()
    slots = {}
    for _ in range(arguments.connections):
        slot = Slot(arguments.port, waiting)
        slots[slot.open()] = slot
    begin = time.perf_counter() + arguments.warmup
    counted = spent = began = 0.0
    while (now := time.perf_counter()) < begin + arguments.duration:
        if not began and now >= begin:
            began, counted, spent = now, sum(s.count for s in slots.values()), time.process_time()
            print("begin", flush=True)
        ready = waiting.poll(PATIENCE)
        if not ready:
            raise SystemExit(f"nothing came for {PATIENCE:g} s")
        for number, _ in ready:
            slot = slots[number]
            if slot.read():
                del slots[number]
                slots[slot.open()] = slot
    seconds = now - began
    count = sum(slot.count for slot in slots.values()) - counted
    spare = 1 - (time.process_time() - spent) / seconds
    print(json.dumps({"count": count, "per_second": count / seconds, "spare": spare}))


if __name__ == "__main__":
    main()
