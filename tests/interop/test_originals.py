"""Programs written for other libraries, and ours in examples/coming_from: the same on the wire.

Each conversation is held twice, with the original program on the original library and with ours;
what the servers send, octet by octet, must be the same. Of the head of the 101 that is what the
handshake means; the rest (``Date``, ``Server``) is everybody's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from duologue import App
from duologue.protocol.handshake import accept_key

from .node_peers import PEERS_FOLDER, NodejsWebSocket, reap
from .peer import PATIENCE

OURS = Path(__file__).parents[2] / "examples" / "coming_from"
THEIRS = PEERS_FOLDER / "originals"
TELLING = (
    "upgrade",
    "connection",
    "sec-websocket-accept",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
    "x-websocket-reject-reason",
    "set-cookie",
)
MASK = b"\x01\x02\x03\x04"
TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9


class Client:
    """Speaks octets, and keeps those that it hears."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.heard: list[Any] = []

    async def open(self, path: str = "/", **headers: str) -> int:
        """Ask for a WebSocket; returns the status."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        head = [
            f"GET {path} HTTP/1.1",
            f"Host: 127.0.0.1:{self._port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
        ]
        self._writer.write("\r\n".join([*head, "", ""]).encode())
        async with asyncio.timeout(PATIENCE):
            answer = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = answer.split("\r\n")[:-2]
        fields = [line.split(": ", 1) for line in lines]
        told = sorted((n.lower(), v) for n, v in fields if n.lower() in TELLING)
        self.heard.append((first, [(n, v.lower() if n == "connection" else v) for n, v in told]))
        return int(first.split(" ")[1])

    def send(self, opcode: int, payload: bytes) -> None:
        """Send a frame of up to 125 octets."""
        masked = bytes(octet ^ MASK[at % 4] for at, octet in enumerate(payload))
        self._writer.write(bytes([0x80 | opcode, 0x80 | len(payload)]) + MASK + masked)

    async def hear(self, *payloads: bytes) -> None:
        """Take one frame for each payload, and see that it is in it."""
        for payload in payloads:
            async with asyncio.timeout(PATIENCE):
                head = await self._reader.readexactly(2)
                assert head[1] < 126
                frame = head + await self._reader.readexactly(head[1])
            self.heard.append(frame)
            assert frame[2:] == payload

    async def close(self, code: int = 1000) -> None:
        """Close, and take the answer."""
        self.send(CLOSE, code.to_bytes(2, "big"))
        await self.hear(code.to_bytes(2, "big"))
        self.leave()

    def leave(self) -> None:
        """End the connection."""
        self._writer.close()


Script = Callable[[Callable[[], Client]], Awaitable[None]]


@contextlib.asynccontextmanager
async def node_program(path: Path) -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(
        "node", str(path), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            yield int((await process.stdout.readline()).split()[-1])
    finally:
        await reap(process)


@contextlib.contextmanager
def program(path: Path) -> Iterator[ModuleType]:
    """Import a program, for as long as it runs."""
    name = f"originals_{path.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # FastAPI looks up annotations there.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules[name]


@contextlib.asynccontextmanager
async def our_program(name: str) -> AsyncIterator[int]:
    with program(OURS / f"{name}.py") as module:
        if hasattr(module, "app"):
            serving = module.app.serving("127.0.0.1", 0)
        else:
            serving = module.serve(module.handler, "127.0.0.1", 0)
        async with serving as server:
            yield server.sockets[0].getsockname()[1]


async def transcript(port: int, script: Script) -> list[list[Any]]:
    clients: list[Client] = []

    def new_client() -> Client:
        clients.append(Client(port))
        return clients[-1]

    async with asyncio.timeout(PATIENCE):
        await script(new_client)
    return [client.heard for client in clients]


async def same_as_node(script: Script, theirs: Path, ours: str) -> None:
    async with node_program(theirs) as port:
        original = await transcript(port, script)
    async with our_program(ours) as port:
        assert await transcript(port, script) == original


# -- nodejs-websocket


async def chat(new: Callable[[], Client]) -> None:
    one, two = new(), new()
    assert await one.open("/any/path?at=all", Sec_WebSocket_Extensions="permessage-deflate") == 101
    await one.hear(b"user1 come in!")
    await two.open("/")
    for each in (one, two):
        await each.hear(b"user2 come in!")
    one.send(TEXT, "你好".encode())
    for each in (one, two):
        await each.hear("你好".encode())
    two.send(BINARY, b"nobody hears this")
    two.send(PING, b"are you there")
    await two.hear(b"are you there")
    two.send(TEXT, b"")
    for each in (one, two):
        await each.hear(b"")
    await two.close(4321)
    one.send(TEXT, b"anybody?")
    await one.hear(b"anybody?")
    await one.close()


@pytest.mark.needs_node
async def test_nodejs_websocket() -> None:
    await same_as_node(chat, PEERS_FOLDER / "chat-server.mjs", "nodejs_websocket")


@pytest.mark.needs_node
async def test_clients_of_nodejs_websocket() -> None:
    one, two = NodejsWebSocket(), NodejsWebSocket()
    async with one.running(), two.running(), our_program("nodejs_websocket") as port:
        for number, peer in enumerate((one, two), 1):
            await peer.connect(f"ws://127.0.0.1:{port}/", subprotocols=[], deflate=False)
            await peer.next("open")
            assert await peer.message() == f"user{number} come in!"
        assert await one.message() == "user2 come in!"
        await two.send("你好")
        for peer in (one, two):
            assert await peer.message() == "你好"
        await one.close(1000, "bye")
        assert (await one.next("closed")).code == 1000
        await two.send("anybody?")
        assert await two.message() == "anybody?"


# -- WebSocket-Node


async def accept_and_reject(new: Callable[[], Client]) -> None:
    client = new()
    status = await client.open(
        "/echo", Origin="http://example.com", Sec_WebSocket_Protocol="other, echo-protocol"
    )
    assert status == 101
    client.send(TEXT, b"hello")
    await client.hear(b"hello")
    client.send(BINARY, b"\x00\xff")
    await client.hear(b"\x00\xff")
    await client.close()
    for origin in ({}, {"Origin": "http://evil.example"}):
        client = new()
        assert await client.open("/echo", Sec_WebSocket_Protocol="echo-protocol", **origin) == 403
        client.leave()
    client = new()
    assert await client.open("/time", Sec_WebSocket_Protocol="time-protocol") == 101
    await client.hear(b"12:00", (4000).to_bytes(2, "big") + b"that is all")
    client.send(CLOSE, (4000).to_bytes(2, "big"))
    client.leave()


async def no_route(new: Callable[[], Client]) -> None:
    for path, protocol in (("/echo", "time-protocol"), ("/other", "echo-protocol")):
        client = new()
        assert await client.open(path, Sec_WebSocket_Protocol=protocol) == 404
        # WebSocket-Node says more in a header, and ours in the body.
        client.heard.clear()
        client.leave()


@pytest.mark.needs_node
async def test_websocket_node() -> None:
    await same_as_node(accept_and_reject, THEIRS / "websocket-node.mjs", "websocket_node")
    await same_as_node(no_route, THEIRS / "websocket-node.mjs", "websocket_node")


# -- ws


async def broadcast_with_token(new: Callable[[], Client]) -> None:
    stranger = new()
    assert await stranger.open(Authorization="Bearer let-me-out") == 401
    stranger.leave()
    one, two, three = new(), new(), new()
    for each in (one, two, three):
        assert await each.open(Authorization="Bearer let-me-in") == 101
        each.send(PING, b"")
        await each.hear(b"")
    one.send(TEXT, b"hello")
    for each in (two, three):
        await each.hear(b"hello")
    three.send(BINARY, b"\x00")
    for each in (one, two):
        await each.hear(b"\x00")
    for each in (one, two, three):
        await each.close(3000)


@pytest.mark.needs_node
async def test_ws() -> None:
    await same_as_node(broadcast_with_token, THEIRS / "ws.mjs", "ws")


# -- websockets


async def everybody(new: Callable[[], Client]) -> None:
    one, two = new(), new()
    await one.open()
    await one.hear(b"1 here")
    await two.open()
    for each in (one, two):
        await each.hear(b"2 here")
    two.send(BINARY, b"\x01")
    for each in (one, two):
        await each.hear(b"\x01")
    await one.close()
    await two.hear(b"1 here")
    await two.close(1001)


async def test_websockets() -> None:
    with program(THEIRS / "websockets_broadcast.py") as module:
        async with module.serve(module.handler, "127.0.0.1", 0) as server:
            original = await transcript(server.sockets[0].getsockname()[1], everybody)
    async with our_program("websockets_broadcast") as port:
        assert await transcript(port, everybody) == original


def test_only_the_imports_differ() -> None:
    ours, theirs = (
        (folder / "websockets_broadcast.py").read_text("utf-8").split('"""', 2)[2]
        for folder in (OURS, THEIRS)
    )
    assert theirs.replace("from websockets.", "from duologue.") == ours


# -- FastAPI


async def numbers(new: Callable[[], Client]) -> None:
    one, two = new(), new()
    await one.open("/chat/1")
    one.send(TEXT, b"hello")
    await one.hear(b"you: hello", b"1: hello")
    await two.open("/chat/22")
    two.send(TEXT, b"me too")
    await two.hear(b"you: me too", b"22: me too")
    await one.hear(b"22: me too")
    await two.close()
    await one.hear(b"22 has left")
    await one.close()


@contextlib.asynccontextmanager
async def on_uvicorn(app: Any) -> AsyncIterator[int]:
    uvicorn = pytest.importorskip("uvicorn")
    config = uvicorn.Config(app, port=0, log_level="error", ws="websockets-sansio", lifespan="off")
    server = uvicorn.Server(config)
    # Without the signal handlers of serve().
    task = asyncio.create_task(server._serve())
    try:
        async with asyncio.timeout(PATIENCE):
            while not server.started:
                await asyncio.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


async def test_fastapi() -> None:
    with program(THEIRS / "fastapi_chat.py") as module:
        async with on_uvicorn(module.app) as port:
            original = await transcript(port, numbers)
    with program(THEIRS / "fastapi_chat.py") as module:
        # The program as it is, on our server.
        app = App(origins="*")
        app.mount("/", module.app)
        async with app.serving("127.0.0.1", 0) as server:
            assert await transcript(server.sockets[0].getsockname()[1], numbers) == original
    async with our_program("fastapi_chat") as port:
        assert await transcript(port, numbers) == original


# -- aiohttp


async def answers(new: Callable[[], Client]) -> None:
    one = new()
    assert await one.open("/ws", Sec_WebSocket_Protocol="answers") == 101
    one.send(TEXT, b"is it you")
    await one.hear(b"is it you?")
    one.send(BINARY, b"\x01\x02")
    await one.hear(b"\x02\x01")
    one.send(TEXT, b"close")
    await one.hear((4000).to_bytes(2, "big") + b"as you wish")
    one.send(CLOSE, (4000).to_bytes(2, "big"))
    one.leave()
    two = new()
    await two.open("/ws")
    two.send(PING, b"?")
    await two.hear(b"?")
    await two.close()


async def test_aiohttp() -> None:
    web = pytest.importorskip("aiohttp.web")
    with program(THEIRS / "aiohttp_answers.py") as module:
        runner = web.AppRunner(module.app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            original = await transcript(runner.addresses[0][1], answers)
        finally:
            await runner.cleanup()
    async with our_program("aiohttp_answers") as port:
        assert await transcript(port, answers) == original


# -- websocket-client


class Listener:
    """Takes what one client sends, frame by frame, and answers as a server would."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    async def attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
        fields = dict(line.split(": ", 1) for line in lines[1:])
        told = ("Upgrade", "Connection", "Sec-WebSocket-Version", "Sec-WebSocket-Protocol")
        self.heard.append((lines[0], [fields[name] for name in (*told, "X-Visitor")]))
        accept = accept_key(fields["Sec-WebSocket-Key"])
        writer.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat.v1\r\n\r\n".encode()
        )
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                self.answer(*await self.frame(reader), writer)
        writer.close()

    async def frame(self, reader: asyncio.StreamReader) -> tuple[int, bytes]:
        first, length = await reader.readexactly(2)
        assert length & 0x80
        mask = await reader.readexactly(4)
        masked = await reader.readexactly(length & 0x7F)
        payload = bytes(octet ^ mask[at % 4] for at, octet in enumerate(masked))
        self.heard.append((first, payload))
        return first & 15, payload

    def answer(self, opcode: int, payload: bytes, writer: asyncio.StreamWriter) -> None:
        if opcode in (TEXT, CLOSE):
            writer.write(bytes([0x80 | opcode, len(payload)]) + payload)
        if opcode == PING:
            writer.write(bytes([0x8A, len(payload)]) + payload)
        if opcode == CLOSE:
            writer.write_eof()


async def test_websocket_client() -> None:
    pytest.importorskip("websocket")
    heard = []
    for folder in (THEIRS, OURS):
        listener = Listener()
        with program(folder / "websocket_client.py") as module:
            async with await asyncio.start_server(listener.attend, "127.0.0.1", 0) as server:
                url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/path?query"
                assert await asyncio.to_thread(module.visit, url) == "hello"
        heard.append(listener.heard)
    assert len(heard[0]) == 5
    assert heard[0] == heard[1]


# -- µWebSockets, whose package is not on npm: what its manual says


async def rooms(new: Callable[[], Client]) -> None:
    nobody = new()
    assert await nobody.open("/room/1") == 401
    nobody.leave()
    one, two, other = new(), new(), new()
    for client, path in ((one, "/room/1?user=ada"), (two, "/room/1?user=bob")):
        assert await client.open(path) == 101
    await other.open("/room/2?user=eve")
    one.send(TEXT, b"hello")
    await one.hear(b"sent")
    await two.hear(b"ada: hello")
    two.send(BINARY, b"octets")
    await two.hear(b"sent")
    await one.hear(b"bob: octets")
    for client in (one, two, other):
        await client.close()


async def test_uwebsockets() -> None:
    async with our_program("uwebsockets") as port:
        *_, other = await transcript(port, rooms)
        assert len(other) == 2


def test_every_program_is_run_here() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    for path in [*OURS.glob("*.py"), *THEIRS.glob("*.*")]:
        # The package of this one is not on npm.
        if path.name != "uwebsockets.mjs":
            assert f'"{path.name}"' in source or f'"{path.stem}"' in source
