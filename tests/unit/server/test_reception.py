"""Which links are answered at once and which the general way; what both have in common."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

import duologue
from duologue.asyncio.server import Server, ServerConnection, serve
from duologue.server import reception
from duologue.server.opening import Opening

HEAD = (
    b"GET /path HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n"
)
PLAIN = HEAD % b""
ACCEPT = b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
# A masked text message of two letters, and a masked Close frame with 1000.
HELLO = b"\x81\x82\0\0\0\0hi"
CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"


@pytest.fixture
def openings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes of the openings that were made: one for each link that goes the general way."""
    made: list[str] = []

    class Noted(Opening):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(repr(self))

    monkeypatch.setattr(reception, "Opening", Noted)
    return made


async def echo(ws: ServerConnection) -> None:
    async for message in ws:
        await ws.send(message)


class Echo(duologue.Endpoint):
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_open(self, ws: Any) -> None:
        self.seen.append((ws.request.path, ws.response.status_code, ws.origin, ws.subprotocol))

    def on_message(self, ws: Any, message: Any) -> None:
        ws.send(message)

    def on_close(self, ws: Any, code: int, reason: str) -> None:
        self.seen.append((code, reason))


class Visitor:
    """A client that writes octets as they are."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, server: Server) -> Visitor:
        port = server.sockets[0].getsockname()[1]
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, *octets: bytes) -> bytes:
        for each in octets:
            self.writer.write(each)
            await self.writer.drain()
        async with asyncio.timeout(10):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def say_goodbye(self) -> None:
        """Read the answer to HELLO, and do the closing handshake."""
        async with asyncio.timeout(10):
            assert await self.reader.readexactly(4) == b"\x81\x02hi"
        self.writer.write(CLOSE)
        assert await self.rest() == b"\x88\x02\x03\xe8"

    async def rest(self) -> bytes:
        async with asyncio.timeout(10):
            return await self.reader.read()

    async def leave(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


async def answer(handler: Any, head: bytes, **options: Any) -> bytes:
    """Return what a server answers to a head, and to a message and a Close frame after a 101."""
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        visitor = await Visitor.to(server)
        got = await visitor.ask(head)
        if got.startswith(b"HTTP/1.1 101 "):
            visitor.writer.write(HELLO)
            await visitor.say_goodbye()
        await visitor.leave()
    return got


@pytest.mark.parametrize("engine", ["auto", "asyncio"])
async def test_an_ordinary_handshake_needs_no_opening(engine: Any, openings: list[str]) -> None:
    endpoint = Echo()
    for handler in (echo, endpoint):
        got = await answer(handler, PLAIN, engine=engine)
        assert ACCEPT in got
        assert b"\r\nServer: Python/" in got
    assert endpoint.seen == [("/path", 101, None, None), (1000, "")]
    assert openings == []


async def test_what_was_agreed_is_on_the_connection(openings: list[str]) -> None:
    endpoint = Echo()
    extra = (
        b"Origin: http://other\r\nSec-WebSocket-Protocol: one, two\r\n"
        b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    )
    options: Any = {"subprotocols": ["two"], "server_header": None}
    for _ in range(2):  # the second time what was agreed is remembered
        got = await answer(endpoint, HEAD % extra, **options)
        assert b"\r\nSec-WebSocket-Protocol: two\r\n" in got
        assert b"client_max_window_bits=12" in got
        assert b"Server:" not in got
    assert endpoint.seen == [("/path", 101, "http://other", "two"), (1000, "")] * 2
    assert openings == []


async def test_extensions_are_each_connection_s_own() -> None:
    found: list[Any] = []

    async def handler(ws: ServerConnection) -> None:
        found.extend(ws.extensions)
        await ws.wait_closed()

    async with serve(handler, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with duologue.connect(url), duologue.connect(url):
            pass
    first, second = found
    assert repr(first) == repr(second)
    assert first is not second


async def test_octets_behind_the_head_are_frames(openings: list[str]) -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        visitor = await Visitor.to(server)
        assert ACCEPT in await visitor.ask(PLAIN + HELLO)
        await visitor.say_goodbye()
        await visitor.leave()
    assert openings == []


async def test_a_head_in_pieces_goes_the_general_way(openings: list[str]) -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        visitor = await Visitor.to(server)
        visitor.writer.write(PLAIN[:50])
        while not openings:
            await asyncio.sleep(0.001)
        assert [repr(each) for each in server.openings] == openings
        assert ACCEPT in await visitor.ask(PLAIN[50:])
        assert server.openings == []
        await visitor.leave()


def keep_silent(*_: object) -> None:
    return None


GENERAL: list[tuple[dict[str, Any], bytes, bytes]] = [
    ({"process_request": keep_silent}, b"", b"101"),
    ({"process_response": keep_silent}, b"", b"101"),
    ({"select_subprotocol": keep_silent}, b"", b"101"),
    ({"create_connection": lambda *args: ServerConnection(*args)}, b"", b"101"),
    ({"origins": ["http://here"]}, b"Origin: http://there\r\n", b"403"),
    ({"subprotocols": ["one"]}, b"Sec-WebSocket-Protocol: two\r\n", b"400"),
    ({}, b"Content-Length: 0\r\n", b"101"),
    ({}, b"X-Latin: \xe9\r\n", b"101"),
    ({}, b"Host: again\r\n", b"400"),
    ({"limits": duologue.Limits(max_headers=4)}, b"", b"431"),
]


@pytest.mark.parametrize(("options", "extra", "status"), GENERAL)
async def test_all_else_goes_the_general_way(
    options: dict[str, Any], extra: bytes, status: bytes, openings: list[str]
) -> None:
    got = await answer(echo, HEAD % extra, **options)
    assert got.startswith(b"HTTP/1.1 " + status)
    assert len(openings) == 1


async def test_a_silent_peer_is_sent_away_in_time(openings: list[str]) -> None:
    async with serve(echo, "127.0.0.1", 0, open_timeout=0.2) as server:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        early, late = await Visitor.to(server), await Visitor.to(server)
        # One that came between and has its answer changes nothing for them.
        talker = await Visitor.to(server)
        await talker.ask(PLAIN)
        for visitor in (early, late):
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await visitor.ask()
            assert loop.time() - begun >= 0.2
            visitor.writer.close()
        assert server.openings == []
        # The next one has the whole time again, and no longer.
        again = await Visitor.to(server)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await again.ask()
        assert loop.time() - begun >= 0.4
        again.writer.close()
        await talker.leave()
    assert openings == []


async def test_half_a_head_has_the_rest_of_the_time() -> None:
    async with serve(echo, "127.0.0.1", 0, open_timeout=0.3) as server:
        begun = asyncio.get_running_loop().time()
        visitor = await Visitor.to(server)
        while not server.openings:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.15)
        got = await visitor.ask(PLAIN[:50])
        assert got.startswith(b"HTTP/1.1 408 ")
        assert 0.3 <= asyncio.get_running_loop().time() - begun < 0.45
        await visitor.rest()
        await visitor.leave()


async def test_without_a_deadline_nobody_is_sent_away() -> None:
    async with serve(echo, "127.0.0.1", 0, open_timeout=None) as server:
        visitor = await Visitor.to(server)
        await asyncio.sleep(0.1)
        assert ACCEPT in await visitor.ask(PLAIN)
        await visitor.leave()


async def test_silent_peers_are_not_waited_for_when_the_server_closes() -> None:
    async with serve(echo, "127.0.0.1", 0, open_timeout=50) as server:
        visitor = await Visitor.to(server)
        while not server.openings:
            await asyncio.sleep(0.001)
        server.close()
        async with asyncio.timeout(5):
            assert await visitor.rest() == b""
            await server.wait_closed()
        assert server.openings == []
        await visitor.leave()


async def test_a_peer_that_leaves_without_a_word_is_forgotten() -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        visitor = await Visitor.to(server)
        while not server.openings:
            await asyncio.sleep(0.001)
        await visitor.leave()
        async with asyncio.timeout(5):
            while server.openings:
                await asyncio.sleep(0.001)


async def test_log_lines(caplog: pytest.LogCaptureFixture, openings: list[str]) -> None:
    caplog.set_level(logging.INFO)
    for handler in (echo, Echo()):
        caplog.clear()
        await answer(handler, PLAIN)
        lines = [record for record in caplog.records if "connection" in record.message]
        assert [line.message for line in lines] == ["connection open", "connection closed"]
        assert all(isinstance(line.websocket, ServerConnection) for line in lines)  # type: ignore[attr-defined]
    assert openings == []


async def test_who_debugs_sees_the_heads(
    caplog: pytest.LogCaptureFixture, openings: list[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    await answer(echo, PLAIN)
    assert "< GET /path HTTP/1.1" in caplog.messages
    assert "> HTTP/1.1 101 Switching Protocols" in caplog.messages
    assert len(openings) == 1


async def test_other_sites_with_our_cookies_are_told_of(
    caplog: pytest.LogCaptureFixture, openings: list[str]
) -> None:
    caplog.set_level(logging.WARNING)
    foreign = HEAD % b"Origin: http://other\r\nCookie: a=b\r\n"
    ours = HEAD % b"Origin: http://localhost\r\nCookie: a=b\r\n"
    async with serve(echo, "127.0.0.1", 0) as server:
        for head, warned, general in ((ours, 0, 0), (foreign, 1, 1), (foreign, 1, 1)):
            visitor = await Visitor.to(server)
            assert ACCEPT in await visitor.ask(head)
            await visitor.leave()
            assert len([line for line in caplog.messages if "cookies" in line]) == warned
            assert len(openings) == general


async def test_a_closed_server_upgrades_nobody() -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        visitor = await Visitor.to(server)
        while not server.openings:
            await asyncio.sleep(0.001)
        server.server.close()
        got = await visitor.ask(PLAIN)
        assert got.startswith(b"HTTP/1.1 503 ")
        await visitor.leave()
