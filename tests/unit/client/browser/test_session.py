"""How connections fail and end, and which events that makes: the standard's, and no others."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trustme

import duologue
from duologue import WebSocket

Logged = Callable[[WebSocket], list[tuple[Any, ...]]]
Raw = Callable[..., AbstractAsyncContextManager[str]]

FAILED = [("error", 3), ("close", 3, 1006, "", False)]


# -- before it is open


@pytest.mark.parametrize("port", [1, 6000, 10080])
async def test_blocked_port(port: int, logged: Logged) -> None:
    ws = WebSocket(f"ws://127.0.0.1:{port}/")
    log = logged(ws)
    assert ws.readyState == 0
    await ws.wait_closed(10)
    assert log == FAILED
    assert "blocked" in str(ws.failure)


async def test_refused_port(logged: Logged) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        # Bound, and nobody listens.
        ws = WebSocket(f"ws://127.0.0.1:{sock.getsockname()[1]}/")
        log = logged(ws)
        await ws.wait_closed(30)
    assert log == FAILED
    assert isinstance(ws.failure, ConnectionRefusedError)


async def test_unknown_host(logged: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "no such host")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", fail)
    ws = WebSocket("ws://no-such-host.invalid/")
    log = logged(ws)
    await ws.wait_closed(30)
    assert log == FAILED


async def test_untrusted_certificate(logged: Logged) -> None:
    authority = trustme.CA()
    server_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server_tls)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def greet(peer: Any) -> None:
        await peer.send("hello")

    async with duologue.serve(greet, "127.0.0.1", 0, ssl=server_tls) as server:
        url = f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        logs = []
        for options in ({}, {"ssl": trusting}, {"ssl": trusting, "server_hostname": "localhost"}):
            ws = WebSocket(url, **options)
            logs.append(logged(ws))
            await ws.wait_closed(30)
    assert logs[:2] == [FAILED, FAILED]
    assert logs[2] == [("open", 1), ("message", 1, "hello"), ("close", 3, 1000, "", True)]


async def test_time_out(raw: Raw, logged: Logged) -> None:
    async with raw("") as url:
        ws = WebSocket(url, open_timeout=0.1)
        log = logged(ws)
        await ws.wait_closed(30)
    assert log == FAILED
    assert "open_timeout of 0.1 s" in str(ws.failure)


OK = "HTTP/1.1 101 Switching Protocols\r\n"
UPGRADE = "Upgrade: websocket\r\n"
CONNECTION = "Connection: Upgrade\r\n"
ACCEPT = "Sec-WebSocket-Accept: {accept}\r\n"


@pytest.mark.parametrize(
    "head",
    [
        *(
            f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"
            for status in (200, 401, 403, 404, 426, 500)
        ),
        "HTTP/1.1 301 X\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
        OK + UPGRADE + CONNECTION + "\r\n",
        OK + UPGRADE + CONNECTION + "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
        OK + CONNECTION + ACCEPT + "\r\n",
        OK + UPGRADE + ACCEPT + "\r\n",
        OK + "Upgrade: h2c\r\n" + CONNECTION + ACCEPT + "\r\n",
        OK + UPGRADE + CONNECTION + ACCEPT + "Sec-WebSocket-Protocol: unasked\r\n\r\n",
        OK + UPGRADE + CONNECTION + ACCEPT + "Sec-WebSocket-Extensions: x-unasked\r\n\r\n",
        OK
        + UPGRADE
        + CONNECTION
        + ACCEPT
        + "Sec-WebSocket-Extensions: permessage-deflate; x\r\n\r\n",
        "SMTP ready\r\n\r\n",
    ],
)
async def test_wrong_response(head: str, raw: Raw, logged: Logged) -> None:
    async with raw(head) as url:
        ws = WebSocket(url)
        log = logged(ws)
        await ws.wait_closed(30)
    assert log == FAILED


@pytest.mark.parametrize(
    "chosen",
    [
        "",
        "Sec-WebSocket-Protocol: c\r\n",
        "Sec-WebSocket-Protocol: A\r\n",
        "Sec-WebSocket-Protocol: a, b\r\n",
        "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a\r\n",
    ],
)
async def test_wrong_subprotocol(chosen: str, raw: Raw, logged: Logged) -> None:
    async with raw(OK + UPGRADE + CONNECTION + ACCEPT + chosen + "\r\n") as url:
        ws = WebSocket(url, ["a", "b"])
        log = logged(ws)
        await ws.wait_closed(30)
    assert log == FAILED


async def test_connection_ends_instead_of_a_response(logged: Logged, raw: Raw) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with raw("", hang_up) as url:
        ws = WebSocket(url)
        log = logged(ws)
        await ws.wait_closed(30)
    assert log == FAILED


async def test_options_that_cannot_be_are_reported(
    logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: reported.append(type(context["exception"]))
    )
    ws = WebSocket("ws://127.0.0.1:9/", server_hostname="x")
    log = logged(ws)
    await ws.wait_closed(30)
    assert log == FAILED
    # A blocked port is no such thing.
    assert reported == []
    ws = WebSocket("ws://127.0.0.1:8/", server_hostname="x")
    log = logged(ws)
    await ws.wait_closed(30)
    assert log == FAILED
    assert reported == [type(ws.failure)] == [ValueError]


async def test_close_while_connecting(logged: Logged) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ws = WebSocket(f"ws://127.0.0.1:{server.getsockname()[1]}/")
        log = logged(ws)
        ws.close(3000, "never mind")
        assert (ws.readyState, log) == (2, [])
        ws.close()
        ws.send("dropped")
        assert ws.bufferedAmount == 7
        await ws.wait_closed(30)
        assert log == FAILED
        assert ws.bufferedAmount == 7


async def test_close_when_the_response_is_there_but_not_told(
    raw: Raw, accepted: str, logged: Logged
) -> None:
    async with raw(accepted) as url:
        ws = WebSocket(url)
        log = logged(ws)
        task = ws._session._task
        assert task is not None
        # Before the session's own callback.
        task.remove_done_callback(ws._session._opened)
        task.add_done_callback(lambda task: (ws.close(), ws._session._opened(task)))
        await ws.wait_closed(30)
        assert log == FAILED


async def test_no_redirect_is_followed(raw: Raw, logged: Logged) -> None:
    visits = 0

    async def note(peer: Any) -> None:
        nonlocal visits
        visits += 1

    async with duologue.serve(note, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        head = f"HTTP/1.1 302 X\r\nLocation: ws://127.0.0.1:{port}/\r\nContent-Length: 0\r\n\r\n"
        async with raw(head) as url:
            ws = WebSocket(url)
            log = logged(ws)
            await ws.wait_closed(30)
    assert (log, visits) == (FAILED, 0)


# -- once it is open


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x81\x02\xff\xfe", 1007),
        (b"\x81\x80abcd", 1002),
        (b"\xc1\x01\x00", None),
        (b"\x91\x00", 1002),
        (b"\x83\x00", 1002),
        (b"\x8b\x00", 1002),
        (b"\x09\x00", 1002),
        (b"\x89\x7e\x00\x7e" + bytes(126), 1002),
        (b"\x80\x00", 1002),
        (b"\x01\x01a\x81\x01b", 1002),
        (b"\x88\x01a", 1002),
        (b"\x88\x03\x03\xe8\xff", 1007),
        (b"\x88\x02\x03\xed", 1002),
        (b"\x88\x02\x03\xee", 1002),
        (b"\x88\x02\x03\xf7", 1002),
    ],
)
async def test_peer_breaks_the_protocol(
    frame: bytes, code: int | None, raw: Raw, accepted: str, logged: Logged
) -> None:
    sent: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x81\x02hi" + frame)
        head = await reader.readexactly(8)
        assert head[0] == 0x88
        sent.append((head[6] ^ head[2]) << 8 | head[7] ^ head[3])
        await reader.read()

    async with raw(accepted, talk) as url:
        ws = WebSocket(url, close_timeout=0.2)
        log = logged(ws)
        await ws.wait_closed(30)
    # What came before the fault is delivered.
    assert log == [("open", 1), ("message", 1, "hi"), *FAILED]
    assert ws.failure is not None
    assert code is None or sent == [code]


@pytest.mark.parametrize("code", [0, 999, 1001, 1004, 1014, 1016, 2999, 3000, 5000, 65535])
async def test_codes_are_reported_as_they_are(
    code: int, raw: Raw, accepted: str, logged: Logged
) -> None:
    answers: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x88\x05" + code.to_bytes(2) + b"why")
        head = await reader.readexactly(11)
        answers.append(bytes(octet ^ head[2 + i % 4] for i, octet in enumerate(head[6:])))

    async with raw(accepted, talk) as url:
        ws = WebSocket(url)
        log = logged(ws)
        await ws.wait_closed(30)
    assert log == [("open", 1), ("close", 3, code, "why", True)]
    assert answers == [code.to_bytes(2) + b"why"]


async def test_fault_after_close_was_called(raw: Raw, accepted: str, logged: Logged) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(6)
        writer.write(b"\x83\x00")
        await reader.read()

    async with raw(accepted, talk) as url:
        ws = WebSocket(url, close_timeout=0.2)
        log = logged(ws)
        ws.onopen = lambda event: ws.close()
        await ws.wait_closed(30)
    assert log == [("open", 1), *FAILED]


async def test_stream_ends_without_a_close(raw: Raw, accepted: str, logged: Logged) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x81\x02hi")

    async with raw(accepted, talk) as url:
        ws = WebSocket(url)
        log = logged(ws)
        await ws.wait_closed(30)
    # Lost, not failed: no error event, as the standard and Chromium have it.
    assert log == [("open", 1), ("message", 1, "hi"), ("close", 3, 1006, "", False)]


async def test_connection_is_reset(raw: Raw, accepted: str, logged: Logged) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(7)
        writer.transport.abort()

    async with raw(accepted, talk) as url:
        ws = WebSocket(url)
        log = logged(ws)
        ws.onopen = lambda event: ws.send("x")
        await ws.wait_closed(30)
    assert log == [("open", 1), ("close", 3, 1006, "", False)]


async def test_close_that_is_never_answered(raw: Raw, accepted: str, logged: Logged) -> None:
    async with raw(accepted) as url:
        ws = WebSocket(url, close_timeout=0.1)
        log = logged(ws)
        ws.onopen = lambda event: ws.close()
        await ws.wait_closed(30)
    assert log == [("open", 1), ("close", 3, 1006, "", False)]


async def test_peer_s_close_shows_before_tcp_ends(raw: Raw, accepted: str, logged: Logged) -> None:
    go_on = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x81\x02hi\x88\x05\x0f\xa0bye")
        # The answer has no code of its own choice.
        answer = await reader.readexactly(8)
        assert answer[0] == 0x88
        await go_on.wait()

    async with raw(accepted, talk) as url:
        ws = WebSocket(url)
        log = logged(ws)
        async with asyncio.timeout(30):
            while ws.readyState < 2:
                await asyncio.sleep(0.001)
        # No event says so. What came before was dispatched as of an open socket.
        assert log == [("open", 1), ("message", 1, "hi")]
        ws.send("dropped")
        ws.close(3000)
        assert ws.bufferedAmount == 7
        go_on.set()
        await ws.wait_closed(30)
    assert log[2:] == [("close", 3, 4000, "bye", True)]


async def test_close_is_delayed_until_the_peer_answers(
    raw: Raw, accepted: str, logged: Logged
) -> None:
    answer = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(6)
        await answer.wait()
        writer.write(b"\x88\x02\x03\xe8")

    async with raw(accepted, talk) as url:
        ws = WebSocket(url)
        log = logged(ws)
        ws.onopen = lambda event: ws.close()
        with pytest.raises(TimeoutError):
            await ws.wait_closed(0.1)
        assert (ws.readyState, log) == (2, [("open", 1)])
        answer.set()
        await ws.wait_closed(30)
    assert log[1:] == [("close", 3, 1000, "", True)]


async def test_over_a_given_socket(logged: Logged) -> None:
    async def greet(peer: Any) -> None:
        await peer.send(peer.request.path)

    async with duologue.serve(greet, "127.0.0.1", 0) as server:
        sock = socket.create_connection(server.sockets[0].getsockname()[:2])
        sock.setblocking(False)
        ws = WebSocket("ws://elsewhere.test/chat", sock=sock)
        log = logged(ws)
        await ws.wait_closed(30)
    assert log[1] == ("message", 1, "/chat")


@pytest.mark.parametrize("engine", ["auto", "asyncio"])
async def test_carried_either_way(engine: Any, logged: Logged) -> None:
    async def echo(peer: Any) -> None:
        async for message in peer:
            await peer.send(message)

    async with duologue.serve(echo, "127.0.0.1", 0) as server:
        ws = WebSocket(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", engine=engine)
        log = logged(ws)
        ws.onopen = lambda event: ws.send("x")
        ws.onmessage = lambda event: ws.close()
        await ws.wait_closed(30)
    assert log == [("open", 1), ("message", 1, "x"), ("close", 3, 1005, "", True)]
