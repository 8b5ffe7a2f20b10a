"""A server against requests that are truncated, too large, too slow or not HTTP at all."""

from __future__ import annotations

import asyncio
import re
import ssl

import pytest

from .hostile import KEY, Raw, opened, raw, request, watched


def status(octets: bytes) -> int | None:
    """Return the status of the only response in `octets`; None if nothing came."""
    if not octets:
        return None
    found = re.findall(rb"^HTTP/1\.1 (\d{3}) ", octets, re.MULTILINE)
    assert len(found) == 1, octets
    return int(found[0])


async def ask(peer: Raw, octets: bytes, *, piece: int | None = None) -> int | None:
    """Send octets and return the status of the response, after which the server must close."""
    await peer.send(octets, piece=piece)
    return status(await peer.rest())


@pytest.mark.parametrize("ending", ["eof", "reset"])
async def test_a_head_cut_off_anywhere(ending: str) -> None:
    whole = request()
    async with watched() as watch:
        for cut in range(len(whole)):
            async with raw(watch.server) as peer:
                await peer.send(whole[:cut])
                if ending == "eof":
                    peer.writer.write_eof()
                    assert status(await peer.rest()) in (None, 400)
        assert watch.handled == 0


async def test_a_head_cut_off_and_left_there() -> None:
    whole = request()
    async with watched(open_timeout=0.2) as watch:
        for cut in (0, 1, 20, len(whole) - 1):
            async with raw(watch.server) as peer:
                start = asyncio.get_running_loop().time()
                assert await ask(peer, whole[:cut]) in (None, 408)
                assert 0.15 < asyncio.get_running_loop().time() - start < 5
        assert watch.handled == 0


@pytest.mark.parametrize("piece", [None, 100])
@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        pytest.param(b"GET /" + b"x" * 8300 + b" HTTP/1.1\r\n", 414, id="request line"),
        pytest.param(b"GET /" + b"x" * 200_000, 414, id="request line without end"),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"x" * 8300 + b"\r\n", 431, id="header line"),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"x" * 200_000, 431, id="header without end"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"x" * 200_000, 431, id="header name without end"),
        pytest.param(request(*(f"X-{n}: y" for n in range(100))), 431, id="number of headers"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000, 431, id="headers without end"),
        pytest.param(
            request(*(f"X-{n}: {'y' * 8000}" for n in range(5))), 431, id="head as a whole"
        ),
    ],
)
async def test_an_oversized_head(octets: bytes, expected: int, piece: int | None) -> None:
    async with watched() as watch:
        async with raw(watch.server) as peer:
            assert await ask(peer, octets, piece=piece) == expected
        assert watch.handled == 0


HOST, UPGRADE = b"Host: a\r\n", b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
SECRET = f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n".encode()


@pytest.mark.parametrize("piece", [None, 1])
@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        pytest.param(b"\x00" * 100 + b"\r\n\r\n", {400}, id="zeros"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", {400}, id="SSH"),
        pytest.param(b"EHLO localhost\r\n", {400, 501}, id="SMTP"),
        pytest.param(b"GET / HTTP/0.9\r\n\r\n", {400, 505}, id="HTTP/0.9"),
        pytest.param(b"GET /\r\n", {400}, id="no version"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 505}, id="HTTP/2"),
        pytest.param(
            b"GET / HTTP/2.0\r\n" + HOST + UPGRADE + SECRET + b"\r\n", {400, 505}, id="version 2.0"
        ),
        pytest.param(b"GET / HTTP/1.1\r\n" + UPGRADE + SECRET + b"\r\n", {400}, id="no Host"),
        pytest.param(
            b"GET / HTTP/1.1\r\n" + HOST + HOST + UPGRADE + SECRET + b"\r\n", {400}, id="two Hosts"
        ),
        pytest.param(
            b"GET / HTTP/1.1\n" + request()[16:].replace(b"\r\n", b"\n"), {400}, id="bare LF"
        ),
        pytest.param(b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n", {400}, id="obs-fold"),
        pytest.param(b"GET / HTTP/1.1\r\n" + HOST + b"X: \x00\r\n\r\n", {400}, id="NUL"),
        pytest.param(b"GET / HTTP/1.1\r\n" + HOST + b"X : y\r\n\r\n", {400}, id="space in name"),
        pytest.param(b"GET / HTTP/1.1\r\n" + HOST + b": y\r\n\r\n", {400}, id="no name"),
        pytest.param(b"GET / HTTP/1.1\r\n" + HOST + b"nonsense\r\n\r\n", {400}, id="no colon"),
        pytest.param(
            b"POST / HTTP/1.1\r\n"
            + HOST
            + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            {400},
            id="two lengths",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
            {400},
            id="negative length",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999999999999\r\n\r\n",
            {400, 413},
            id="enormous length",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            {400},
            id="bad chunk",
        ),
    ],
)
async def test_a_malformed_request(octets: bytes, expected: set[int], piece: int | None) -> None:
    async with watched() as watch:
        async with raw(watch.server) as peer:
            assert await ask(peer, octets, piece=piece) in expected
        assert watch.handled == 0


def changed(old: str, new: str) -> bytes:
    octets = request().replace(old.encode(), new.encode())
    assert octets != request()
    return octets


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        pytest.param(changed("GET", "POST"), 405, id="POST"),
        pytest.param(changed("Version: 13", "Version: 8"), 426, id="version 8"),
        pytest.param(changed("Version: 13", "Version: x"), (400, 426), id="version x"),
        pytest.param(changed("Sec-WebSocket-Version: 13\r\n", ""), (400, 426), id="no version"),
        pytest.param(changed(f"Sec-WebSocket-Key: {KEY}\r\n", ""), 400, id="no key"),
        pytest.param(changed(KEY, "AAAA"), 400, id="short key"),
        pytest.param(changed(KEY, "!" * 24), 400, id="key not base64"),
        pytest.param(changed("Connection: Upgrade", "Connection: close"), 426, id="connection"),
        pytest.param(changed("Upgrade: websocket", "Upgrade: h2c"), 426, id="h2c"),
        pytest.param(request(f"Sec-WebSocket-Key: {KEY}"), 400, id="two keys"),
        pytest.param(request("Sec-WebSocket-Extensions: ;;"), 400, id="extensions"),
        pytest.param(request("Sec-WebSocket-Protocol: a b"), 400, id="subprotocols"),
    ],
)
async def test_a_handshake_that_breaks_rfc_6455(
    octets: bytes, expected: int | tuple[int, ...]
) -> None:
    chat = ["chat"]
    async with watched(subprotocols=chat, honest={"subprotocols": chat}) as watch:
        async with raw(watch.server) as peer:
            await peer.send(octets)
            found = status(await peer.head())
            assert found in ((expected,) if isinstance(expected, int) else expected)
        assert watch.handled == 0


async def test_tls_on_a_plain_port() -> None:
    context = ssl.create_default_context()
    async with watched() as watch:
        with pytest.raises(ssl.SSLError):
            async with raw(watch.server, ssl=context, server_hostname="localhost"):
                pass
        assert watch.handled == 0


async def test_octets_after_the_request_wait_for_the_response() -> None:
    """A frame sent with the request is legal for the parser and read after the upgrade."""
    async with watched() as watch:
        async with raw(watch.server) as peer:
            await peer.send(request() + bytes.fromhex("818568656c6c0000000003"))
            assert status(await peer.head()) == 101
            assert await peer.reader.readexactly(7) == b"\x81\x05hell" + b"\x6b"


async def test_many_half_sent_heads_do_not_keep_others_out() -> None:
    async with watched() as watch:
        async with asyncio.TaskGroup() as group:
            peers = [
                group.create_task(asyncio.open_connection(*watch.server.sockets[0].getsockname()))
                for _ in range(200)
            ]
        for task in peers:
            task.result()[1].write(request()[:50])
        async with opened(watch.server):
            pass
        for task in peers:
            task.result()[1].transport.abort()
