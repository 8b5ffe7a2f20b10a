"""Echoes for load tests, faultless and not, in a thread: the command has its own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Iterator
from typing import Any

import duologue


class Echo(duologue.Endpoint):
    """Sends each message back, and keeps what there is to know of the load."""

    def __init__(self) -> None:
        self.heads: list[Any] = []
        self.messages: list[str | bytes] = []
        self.opened: list[float] = []
        self.times: list[float] = []
        self.unanswered = 0

    def on_open(self, ws: Any) -> None:
        self.heads.append(ws.request)
        self.opened.append(asyncio.get_running_loop().time())

    def on_message(self, ws: Any, message: str | bytes) -> None:
        self.messages.append(message)
        self.times.append(asyncio.get_running_loop().time())
        self.answer(ws, message)

    def answer(self, ws: Any, message: str | bytes) -> None:
        ws.send(message)


class Greets(Echo):
    def on_open(self, ws):
        super().on_open(ws)
        ws.send("Request served by me")
        ws.send("and by nobody else")


class Mute(Echo):
    def answer(self, ws, message):
        pass


class Answers(Echo):
    def answer(self, ws, message):
        ws.send("thanks")


class Closes(Echo):
    def answer(self, ws, message):
        ws.start_close(1008, "no\x1b[31m")


class Nth(Echo):
    """Treats every tenth message after the probe otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count()

    def answer(self, ws, message):
        number = next(self.numbers)
        if number and number % 10 == 0:
            self.otherwise(ws, message)
        else:
            ws.send(message)

    def otherwise(self, ws: Any, message: str | bytes) -> None:
        raise NotImplementedError


class Changes(Nth):
    def otherwise(self, ws, message):
        ws.send(message[:-1] + ("!" if isinstance(message, str) else b"!"))


class Drops(Nth):
    def otherwise(self, ws, message):
        pass


class Repeats(Nth):
    def otherwise(self, ws, message):
        ws.send(message)
        ws.send(message)


class Leaves(Nth):
    def otherwise(self, ws, message):
        ws.start_close(1013, "too much")


class Swaps(Echo):
    """Answers pairs in the wrong order."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[Any, str | bytes] = {}

    def answer(self, ws, message):
        if message in ("duologue bench", b"duologue bench"):
            ws.send(message)
        elif ws in self.held:
            ws.send(message)
            ws.send(self.held.pop(ws))
        else:
            self.held[ws] = message


class Stalls(Echo):
    """Stands still for a moment, once."""

    stalled = False

    def answer(self, ws, message):
        if len(self.messages) == 100:
            self.stalled = True
            asyncio.get_running_loop().call_later(0.5, self.go_on)
        if self.stalled:
            self.heads.append((ws, message))
        else:
            ws.send(message)

    def go_on(self) -> None:
        self.stalled = False
        for ws, message in [one for one in self.heads if isinstance(one, tuple)]:
            ws.send(message)


@contextlib.contextmanager
def serving(echo: Echo, **options: Any) -> Iterator[str]:
    """Serves in a thread; gives the URL."""
    ready, done = threading.Event(), threading.Event()
    urls: list[str] = []

    async def main() -> None:
        async with duologue.serve(echo, "127.0.0.1", 0, **options) as server:
            scheme = "wss" if options.get("ssl") else "ws"
            urls.append(f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield urls[0]
    finally:
        done.set()
        thread.join()


class Proxy:
    """An HTTP proxy that makes tunnels, and counts them."""

    def __init__(self) -> None:
        self.tunnels = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b" ", 2)
        assert method == b"CONNECT"
        self.tunnels += 1
        host, _, port = target.decode().rpartition(":")
        there, back = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(self.copy(reader, back), self.copy(there, writer))

    async def copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while octets := await reader.read(65536):
                writer.write(octets)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.contextmanager
def proxying() -> Iterator[Proxy]:
    """Runs a proxy in a thread."""
    ready, done = threading.Event(), threading.Event()
    proxy = Proxy()

    async def main() -> None:
        async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
            proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            ready.set()
            await asyncio.to_thread(done.wait)
            server.close()
            await asyncio.sleep(0.05)

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield proxy
    finally:
        done.set()
        thread.join()
