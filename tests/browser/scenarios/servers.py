"""The servers that scenarios talk to, all on 127.0.0.1.

``ours``
    duologue's. Paths: ``/echo``; ``/count`` (answers the type and size of each message); ``/idle``;
    ``/greet`` (speaks first); ``/close?code=&reason=``; ``/close-on-message?…``; ``/drop`` (ends
    TCP). It chooses the subprotocol ``chat.v2`` or ``chat.v1``.
``npm``
    npm ``ws`` with the same paths; without a code it sends a Close frame without a body.
``raw``
    A program that says any octets. The path names what it says, see `HEADS` and what follows it.
``tls``
    Like ``ours``, with a certificate that nobody trusts.
``refused``
    A port where nobody listens.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import trustme

from ..subject import Request, Response, serve

PEERS = Path(__file__).parents[2] / "peers"
MAX_SIZE = 16 * 1024 * 1024
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


async def behave(connection: Any) -> None:
    """Do what the path says."""
    url = urlsplit(connection.request.path)
    query = parse_qs(url.query)

    async def close() -> None:
        await connection.close(int(query["code"][0]), query.get("reason", [""])[0])

    if url.path == "/greet":
        await connection.send("hello")
        await connection.send(b"\x00\x01\xff")
    elif url.path == "/drop":
        connection.transport.abort()
    elif url.path == "/close":
        await close()
    async for message in connection:
        if url.path == "/echo":
            await connection.send(message)
        elif url.path == "/count":
            kind = "text" if isinstance(message, str) else "binary"
            await connection.send(f"{kind} {len(message)}")
        elif url.path == "/close-on-message":
            await close()


def page(connection: Any, request: Request) -> Response | None:
    """Answer requests that are no upgrades with an empty page."""
    if "Upgrade" in request.headers:
        return None
    response: Response = connection.respond(HTTPStatus.OK, "<!doctype html><title>.</title>")
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "text/html; charset=utf-8"
    return response


def frame(opcode: int, payload: bytes = b"", *, first: int | None = None) -> bytes:
    """Build a server's frame.

    Args:
        opcode: 0 to 15.
        payload: Up to 65,535 octets.
        first: The whole first octet, where FIN and no RSV bits aren't what is wanted.
    """
    head = bytes([0x80 | opcode if first is None else first])
    if len(payload) < 126:
        return head + bytes([len(payload)]) + payload
    return head + b"\x7e" + struct.pack("!H", len(payload)) + payload


def closing(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)


def accepting(key: str, *headers: str, without: str = "", status: str = "101 Switching") -> bytes:
    """Build the head that accepts a handshake, with more headers or without one."""
    digest = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    lines = [
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}",
        *headers,
    ]
    kept = [line for line in lines if not without or not line.startswith(f"{without}:")]
    return "\r\n".join([f"HTTP/1.1 {status}", *kept, "", ""]).encode()


def answer(status: str, *headers: str) -> Callable[[str], bytes]:
    lines = [f"HTTP/1.1 {status}", *headers, "Content-Length: 0", "", ""]
    return lambda key: "\r\n".join(lines).encode()


def with_headers(*headers: str, **options: str) -> Callable[[str], bytes]:
    return lambda key: accepting(key, *headers, **options)


PROTOCOL = "Sec-WebSocket-Protocol"
EXTENSIONS = "Sec-WebSocket-Extensions"

#: What stands in place of an accepting head, by path; all of it has to fail.
HEADS: dict[str, Callable[[str], bytes]] = {
    "status-200": answer("200 OK"),
    "status-204": answer("204 No Content"),
    "status-301": answer("301 Moved Permanently", "Location: /echo"),
    "status-307": answer("307 Temporary Redirect", "Location: /echo"),
    "status-400": answer("400 Bad Request"),
    "status-401": answer("401 Unauthorized", 'WWW-Authenticate: Basic realm="r"'),
    "status-403": answer("403 Forbidden"),
    "status-404": answer("404 Not Found"),
    "status-426": answer("426 Upgrade Required", "Sec-WebSocket-Version: 13"),
    "status-500": answer("500 Internal Server Error"),
    "status-503": answer("503 Service Unavailable", "Retry-After: 1"),
    "accepting-headers-with-200": with_headers(status="200 OK"),
    "no-accept": with_headers(without="Sec-WebSocket-Accept"),
    "wrong-accept": with_headers(
        "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=", without="Sec-WebSocket-Accept"
    ),
    "no-upgrade": with_headers(without="Upgrade"),
    "other-upgrade": with_headers("Upgrade: h2c", without="Upgrade"),
    "no-connection": with_headers(without="Connection"),
    "other-connection": with_headers("Connection: keep-alive", without="Connection"),
    "unasked-protocol": with_headers(f"{PROTOCOL}: chat.v9"),
    "empty-protocol": with_headers(f"{PROTOCOL}: "),
    "unasked-extension": with_headers(f"{EXTENSIONS}: x-unknown"),
    "wrong-parameter": with_headers(f"{EXTENSIONS}: permessage-deflate; x=1"),
    "wrong-window": with_headers(f"{EXTENSIONS}: permessage-deflate; server_max_window_bits=99"),
    "deflate-twice": with_headers(f"{EXTENSIONS}: permessage-deflate, permessage-deflate"),
    "not-http": lambda key: b"220 mail.example ESMTP\r\n\r\n",
    "half-a-head": lambda key: b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: webso",
    "nothing": lambda key: b"",
}

#: Subprotocols that are answered when ``chat.v1`` and ``chat.v2`` are asked for, by path.
PROTOCOLS: dict[str, tuple[str, ...]] = {
    "protocol-none": (),
    "protocol-other": (f"{PROTOCOL}: chat.v9",),
    "protocol-other-case": (f"{PROTOCOL}: CHAT.V1",),
    "protocol-both": (f"{PROTOCOL}: chat.v1, chat.v2",),
    "protocol-twice": (f"{PROTOCOL}: chat.v1", f"{PROTOCOL}: chat.v2"),
    "protocol-second": (f"{PROTOCOL}: chat.v2",),
    "protocol-first": (f"{PROTOCOL}: chat.v1",),
}

#: Heads that differ from the usual one, and accept all the same.
ACCEPTING: dict[str, Callable[[str], bytes]] = {
    "upgrade-in-capitals": with_headers("Upgrade: WebSocket", without="Upgrade"),
    "connection-list": with_headers("Connection: keep-alive, Upgrade", without="Connection"),
    "other-headers": with_headers("Server: Raw", "X-Other: 1", "Set-Cookie: a=b"),
}

LONG = bytes(range(97, 107)) * 30

#: What may be said after an accepting head, by path; a Close frame with 4000 follows.
GOOD: dict[str, bytes] = {
    "text": frame(TEXT, "κόσμε".encode()),
    "text-empty": frame(TEXT),
    "text-nul": frame(TEXT, b"a\0b"),
    "text-bom": frame(TEXT, b"\xef\xbb\xbfx"),
    "text-long": frame(TEXT, LONG),
    "binary-empty": frame(BINARY),
    "binary": frame(BINARY, bytes(range(5))),
    "fragments": frame(TEXT, b"\xce", first=1) + frame(CONT, b"\xba", first=0) + frame(CONT, b"!"),
    "fragments-empty": frame(TEXT, b"", first=1) + frame(CONT, b"", first=0) + frame(CONT, b""),
    "fragments-ping": frame(BINARY, b"\x01", first=2) + frame(PING, b"p") + frame(CONT, b"\x02"),
    "ping": frame(PING, b"are you there?"),
    "pong": frame(PONG, b"I am"),
    "pong-empty": frame(PONG),
    "ping-125": frame(PING, b"p" * 125),
}

#: What must not be said, by path. If the client goes on, a Close frame with 4000 follows.
FAULTS: dict[str, bytes] = {
    "utf8-wrong": frame(TEXT, b"ab\xffcd"),
    "utf8-cut": frame(TEXT, b"\xce"),
    "utf8-surrogate": frame(TEXT, b"\xed\xa0\x80"),
    "utf8-overlong": frame(TEXT, b"\xc0\xaf"),
    "utf8-too-high": frame(TEXT, b"\xf4\x90\x80\x80"),
    "utf8-wrong-fragment": frame(TEXT, b"a", first=1) + frame(CONT, b"\xff"),
    "rsv1": frame(TEXT, b"x", first=0xC1),
    "rsv2": frame(TEXT, b"x", first=0xA1),
    "rsv3": frame(TEXT, b"x", first=0x91),
    "rsv1-control": frame(PING, b"x", first=0xC9),
    "masked": b"\x81\x83\x00\x00\x00\x00abc",
    "opcode-3": frame(3, b"x"),
    "opcode-7": frame(7, b"x"),
    "opcode-11": frame(11, b"x"),
    "opcode-15": frame(15, b"x"),
    "ping-fragmented": frame(PING, b"x", first=9),
    "close-fragmented": frame(CLOSE, b"\x03\xe8", first=8),
    "ping-126": frame(PING, b"p" * 126),
    "close-126": frame(CLOSE, b"\x03\xe8" + b"r" * 124),
    "continuation-first": frame(CONT, b"x"),
    "text-within-fragments": frame(TEXT, b"a", first=1) + frame(TEXT, b"b"),
    "length-not-minimal-16": b"\x81\x7e\x00\x01x",
    "length-not-minimal-64": b"\x81\x7f" + (1).to_bytes(8, "big") + b"x",
    "length-negative": b"\x81\x7f" + b"\xff" * 8,
    "close-one-octet": frame(CLOSE, b"\x03"),
    "close-reason-wrong": closing(1000, b"\xff"),
    "close-reason-cut": closing(1000, b"\xce"),
    "message-then-fault": frame(TEXT, b"first") + frame(3, b"x"),
}

#: Where TCP ends after these octets, with no Close frame.
CUTS: dict[str, bytes] = {
    "cut-at-once": b"",
    "cut-after-message": frame(TEXT, b"last words"),
    "cut-in-message": frame(TEXT, b"half")[:4],
    "cut-in-fragments": frame(TEXT, b"a", first=1),
    "cut-in-close": closing(1000, b"bye")[:3],
}

#: What is said when a Close frame has come, by path; then TCP ends.
ANSWERS: dict[str, bytes] = {
    "answer-late": closing(4001, b"slow"),
    "answer-other-code": closing(1000),
    "answer-empty": frame(CLOSE),
    "answer-after-message": frame(TEXT, b"not yet") + closing(4000),
    "answer-none": b"",
}

#: What is said instead of a Close frame with 4000, by path.
CLOSES: dict[str, bytes] = {
    "close-empty": frame(CLOSE),
    "close-then-message": closing(4000) + frame(TEXT, b"too late"),
}

TOLERATION = 3.0
"""Seconds after which a client has not minded a fault."""

REQUEST = re.compile(rb"GET /(\S*) HTTP/1.1\r\n")
KEY = re.compile(rb"(?im)^sec-websocket-key: *(\S+)")


class RawServer:
    """Says what paths name.

    Attributes:
        heard: The code of the first Close frame that came, by path; None if it had no code.
    """

    def __init__(self) -> None:
        self.heard: dict[str, int | None] = {}

    async def say(
        self, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Say what the path names; return when TCP is to end."""
        found = KEY.search(await reader.readuntil(b"\r\n\r\n"))
        key = found.group(1).decode() if found else ""
        name, _, argument = path.partition("/")
        if name in HEADS:
            writer.write(HEADS[name](key))
            return
        head = ACCEPTING.get(name, lambda key: accepting(key, *PROTOCOLS.get(name, ())))(key)
        if name in CUTS:
            writer.write(head + CUTS[name])
            return
        writer.write(head)
        if name == "reset":
            await writer.drain()
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        elif name in ANSWERS:
            await self.close_comes(path, reader)
            await asyncio.sleep(0.3 if name == "answer-late" else 0)
            writer.write(ANSWERS[name])
        else:
            if name in FAULTS:
                writer.write(FAULTS[name])
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.close_comes(path, reader), TOLERATION)
                    return
            if name == "close":  # close/<code>/<reason in hexadecimal digits>
                code, _, reason = argument.partition("/")
                writer.write(closing(int(code), bytes.fromhex(reason)))
            else:
                writer.write(GOOD.get(name, b"") + CLOSES.get(name, closing(4000)))
            await self.close_comes(path, reader)

    async def close_comes(self, path: str, reader: asyncio.StreamReader) -> None:
        """Return when a Close frame has come; no frame of a client is long here."""
        while True:
            first, second = await reader.readexactly(2)
            rest = await reader.readexactly(4 + (second & 127))
            if first & 15 == CLOSE:
                code = bytes(octet ^ key for octet, key in zip(rest[4:6], rest[:4], strict=False))
                self.heard[path] = int.from_bytes(code, "big") if code else None
                return

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            match = REQUEST.match(await reader.readline())
            await self.say(unquote(match.group(1).decode()) if match else "", reader, writer)
            await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Listen; yields the address. No conversation is left afterwards."""
        conversations: set[asyncio.Task[None]] = set()

        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            conversations.add(asyncio.create_task(self.converse(reader, writer)))

        server = await asyncio.start_server(accepted, "127.0.0.1", 0)
        try:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for task in conversations:
                task.cancel()
            await asyncio.gather(*conversations, return_exceptions=True)
            await server.wait_closed()


@contextlib.asynccontextmanager
async def our_server(**options: Any) -> AsyncIterator[str]:
    async with serve(
        behave,
        "127.0.0.1",
        0,
        max_size=MAX_SIZE,
        process_request=page,
        subprotocols=["chat.v2", "chat.v1"],
        select_subprotocol=choose,
        **options,
    ) as server:
        yield f"127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


def choose(connection: Any, offered: list[str]) -> str | None:
    """Choose as npm ws does in `server.mjs`."""
    return next((name for name in ("chat.v2", "chat.v1") if name in offered), None)


@contextlib.asynccontextmanager
async def npm_server() -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        "node",
        str(Path(__file__).with_name("server.mjs")),
        str(PEERS),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdin is not None and process.stdout is not None
        async with asyncio.timeout(30):
            port = int(await process.stdout.readline())
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        await process.communicate()


@contextlib.contextmanager
def nobody() -> Any:
    """Hold a port on which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@dataclass(frozen=True)
class Servers:
    """Servers that run.

    Attributes:
        addresses: Host and port by name.
        raw: The one that takes note of what it hears.
    """

    addresses: dict[str, str]
    raw: RawServer


@contextlib.asynccontextmanager
async def all_servers(*, npm: bool) -> AsyncIterator[Servers]:
    """Run the servers, npm's only if wanted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    raw = RawServer()
    async with contextlib.AsyncExitStack() as stack:
        addresses = {
            "ours": await stack.enter_async_context(our_server()),
            "tls": await stack.enter_async_context(our_server(ssl=context)),
            "raw": await stack.enter_async_context(raw.running()),
            "refused": stack.enter_context(nobody()),
        }
        if npm:
            addresses["npm"] = await stack.enter_async_context(npm_server())
        yield Servers(addresses, raw)
