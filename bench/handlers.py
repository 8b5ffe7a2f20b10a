"""``duologue serve DIR`` beside ``pywebsocket3``: what a message through a handler costs.

One client program, interleaved runs, and the server's processor time as the system counts it::

    python bench/handlers.py --messages 20000 --rounds 3

All connections have one message in flight. ``threads`` is the least that a thread for each
connection can cost with this Python: a loop of ``recv`` and ``sendall`` that knows no frames.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

EXAMPLES = str(Path(__file__).parents[1] / "examples" / "pywebsocket")
THREADS = """
import socket, sys, threading

def talk(sock):
    sock.recv(4096)
    sock.sendall(b"HTTP/1.1 101 Switching Protocols\\r\\n\\r\\n")
    while octets := sock.recv(4096):
        sock.sendall(b"\\x81\\x20" + octets[6:])

listener = socket.create_server(("127.0.0.1", int(sys.argv[1][2:])), backlog=1000)
while True:
    threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()
"""
HANDLERS = ("-H", "127.0.0.1", "-w", EXAMPLES, "-d", EXAMPLES, "-q", "1000")
SERVERS = {
    "pywebsocket3": ("-m", "pywebsocket3.standalone", *HANDLERS),
    "duologue": ("-m", "duologue.frontends.pywebsocket.standalone", *HANDLERS),
    "threads": ("-c", THREADS),
}
REQUEST = (
    b"GET /echo HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
MESSAGE = b"\x81\xa0abcd" + b"x" * 32


@contextlib.contextmanager
def running(server: str) -> Iterator[tuple[int, int]]:
    """Run a server; give its process and port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-W", "ignore", *SERVERS[server], f"-p{port}"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield process.pid, port
    finally:
        process.kill()
        process.wait()


def processor_time(pid: int) -> float:
    """Seconds of processor time of a process."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def opened(port: int) -> socket.socket:
    """Return a connection whose handshake is done."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(REQUEST)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(4096)
    return sock


def measure(server: str, connections: int, messages: int) -> float:
    """Return the server's microseconds for a message."""
    with running(server) as (pid, port), selectors.DefaultSelector() as selector:
        for _ in range(connections):
            selector.register(opened(port), selectors.EVENT_READ)
        for key in selector.get_map().values():
            key.fileobj.send(MESSAGE)
        before, count = processor_time(pid), 0
        while count < messages:
            for key, _ in selector.select():
                key.fileobj.recv(4096)
                key.fileobj.send(MESSAGE)
                count += 1
        cost = (processor_time(pid) - before) / count * 1e6
        for key in list(selector.get_map().values()):
            key.fileobj.close()
        return cost


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    found: dict[str, list[float]] = {server: [] for server in SERVERS}
    if importlib.util.find_spec("pywebsocket3") is None:
        del found["pywebsocket3"]
    for _ in range(arguments.rounds):
        for server, costs in found.items():
            costs.append(measure(server, arguments.connections, arguments.messages))
    for server, costs in found.items():
        print(f"{server:12} {statistics.median(costs):8.1f} µs of the server's each message")
