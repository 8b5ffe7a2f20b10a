"""A client against what is no WebSocket server, or one that misbehaves."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import Callable
from typing import Any

import pytest
import trustme

from duologue.base.limits import Limits
from duologue.exceptions import (
    HeaderLineTooLong,
    InvalidHandshake,
    InvalidHeader,
    InvalidMessage,
    InvalidStatus,
    InvalidUpgrade,
    NegotiationError,
    SecurityError,
    StatusLineTooLong,
    TooManyHeaders,
)

from .hostile import Raw, connect, echo, hostile_server, response, url, watched

PAGE = b"<h1>It works!</h1>"


def says(octets: bytes, *, first: bool = False, then: str = "close") -> Any:
    """Make a conversation that says something, before or after the request comes.

    Args:
        octets: What to say.
        first: Whether not to wait for the request.
        then: ``"close"``, ``"reset"`` or ``"wait"``.
    """

    async def conversation(peer: Raw) -> None:
        if not first:
            await peer.head()
        await peer.send(octets)
        if then == "close":
            peer.writer.write_eof()
        if then != "reset":
            await peer.reader.read()

    return conversation


@pytest.mark.parametrize(
    ("conversation", "expected"),
    [
        pytest.param(says(b""), InvalidMessage, id="closes"),
        pytest.param(says(b"", then="reset"), InvalidMessage, id="resets"),
        pytest.param(says(b"", first=True), InvalidMessage, id="closes at once"),
        pytest.param(says(b"SSH-2.0-OpenSSH_9.6\r\n", first=True), InvalidMessage, id="SSH"),
        pytest.param(says(b"220 mail ESMTP\r\n", first=True), InvalidMessage, id="SMTP"),
        pytest.param(says(b"\x15\x03\x01\x00\x02\x02\x46"), InvalidMessage, id="TLS alert"),
        pytest.param(says(b"\x00" * 1000), InvalidMessage, id="zeros"),
        pytest.param(says(b"HTTP/1.1 101 Switching Protocols\r\n"), InvalidMessage, id="cut off"),
        pytest.param(says(b"HTTP/1.1 101\r\nX: y\r\n"), InvalidMessage, id="cut off in headers"),
        pytest.param(says(b"HTTP/3 200 OK\r\n\r\n"), InvalidMessage, id="HTTP/3"),
        pytest.param(says(b"HTTP/1.1 abc OK\r\n\r\n"), InvalidMessage, id="status abc"),
        pytest.param(says(b"HTTP/1.1 99 OK\r\n\r\n"), InvalidMessage, id="status 99"),
        pytest.param(says(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), InvalidMessage, id="no colon"),
        pytest.param(
            says(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), InvalidMessage, id="length x"
        ),
        pytest.param(
            says(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhello"),
            InvalidMessage,
            id="body cut off",
        ),
        pytest.param(
            says(b"HTTP/1.1 200 " + b"x" * 200_000, then="wait"),
            StatusLineTooLong,
            id="status line without end",
        ),
        pytest.param(
            says(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, then="wait"),
            HeaderLineTooLong,
            id="header without end",
        ),
        pytest.param(
            says(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, then="wait"),
            TooManyHeaders,
            id="headers without end",
        ),
        pytest.param(
            says(b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + bytes(2_000_000)),
            SecurityError,
            id="body too large",
        ),
        pytest.param(
            says(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(2_000_000), then="wait"),
            SecurityError,
            id="body without end",
        ),
        pytest.param(
            says(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                + b"10000\r\n" * 1
                + bytes(65536)
                + b"\r\nfffffff\r\n"
                + bytes(2_000_000),
                then="wait",
            ),
            SecurityError,
            id="chunks without end",
        ),
    ],
)
@pytest.mark.parametrize("slowly", [False, True])
async def test_what_is_not_http(conversation: Any, expected: type[Exception], slowly: bool) -> None:
    options = {"limit": 1024} if slowly else {}
    async with hostile_server(conversation, **options) as address:
        with pytest.raises(expected) as caught:
            await connect(address, open_timeout=5)
    assert str(caught.value)


@pytest.mark.parametrize("status", [200, 301, 400, 401, 404, 426, 500, 503])
async def test_an_ordinary_web_server(status: int) -> None:
    octets = f"HTTP/1.1 {status} Whatever\r\nContent-Length: {len(PAGE)}\r\n\r\n".encode() + PAGE
    async with hostile_server(says(octets, then="wait")) as address:
        with pytest.raises(InvalidStatus, match=str(status)) as caught:
            await connect(address)
    assert caught.value.response.status_code == status
    assert caught.value.response.body == PAGE


def answers(change: Callable[[bytes], bytes]) -> Any:
    async def conversation(peer: Raw) -> None:
        head = response(await peer.head())
        changed = change(head)
        assert changed != head
        await peer.send(changed)
        await peer.reader.read()

    return conversation


def replace(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda head: head.replace(old, new)


def add(line: bytes) -> Callable[[bytes], bytes]:
    return lambda head: head[:-2] + line + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(replace(b"Upgrade: websocket", b"Upgrade: h2c"), InvalidUpgrade, id="h2c"),
        pytest.param(replace(b"Upgrade: websocket\r\n", b""), InvalidUpgrade, id="no Upgrade"),
        pytest.param(
            replace(b"Connection: Upgrade", b"Connection: close"), InvalidUpgrade, id="Connection"
        ),
        pytest.param(replace(b"Accept: ", b"Accept: A"), InvalidHeader, id="accept"),
        pytest.param(replace(b"Sec-WebSocket-Accept", b"X"), InvalidHeader, id="no accept"),
        pytest.param(add(b"Sec-WebSocket-Accept: x"), InvalidHeader, id="two accepts"),
        pytest.param(add(b"Sec-WebSocket-Protocol: chat"), NegotiationError, id="subprotocol"),
        pytest.param(add(b"Sec-WebSocket-Extensions: x-other"), NegotiationError, id="extension"),
        pytest.param(
            add(b"Sec-WebSocket-Extensions: permessage-deflate; x=1"),
            NegotiationError,
            id="parameter",
        ),
        pytest.param(
            add(b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=7"),
            NegotiationError,
            id="window",
        ),
        pytest.param(
            add(b"Sec-WebSocket-Extensions: permessage-deflate, permessage-deflate"),
            NegotiationError,
            id="extension twice",
        ),
        pytest.param(add(b"Sec-WebSocket-Extensions: ;;"), InvalidHeader, id="no extension"),
    ],
)
async def test_a_response_that_does_not_follow_from_the_request(
    change: Callable[[bytes], bytes], expected: type[Exception]
) -> None:
    async with hostile_server(answers(change)) as address:
        with pytest.raises(expected) as caught:
            await connect(address)
    assert isinstance(caught.value, InvalidHandshake)
    assert str(caught.value)


async def test_a_server_that_says_nothing() -> None:
    async with hostile_server(says(b"", then="wait")) as address:
        with pytest.raises(TimeoutError, match="opening handshake"):
            await connect(address, open_timeout=0.1)


async def test_a_body_of_any_size_where_the_limit_is_lifted() -> None:
    octets = b"HTTP/1.1 200 OK\r\n\r\n" + bytes(2_000_000)
    async with hostile_server(says(octets)) as address:
        with pytest.raises(InvalidStatus) as caught:
            await connect(address, limits=Limits(max_body=None))
    assert len(caught.value.response.body) == 2_000_000


async def test_nobody_listens() -> None:
    async with hostile_server(says(b"")) as address:
        pass
    with pytest.raises(OSError) as caught:
        await connect(address)
    assert not isinstance(caught.value, TimeoutError)


# TLS.


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_a_right_certificate(authority: trustme.CA) -> None:
    """What the tests below differ from."""
    context = server_context(authority.issue_cert("127.0.0.1"))
    async with watched(ssl=context, honest={"ssl": trusting(authority)}) as watch:
        async with connect(url(watch.server, "wss"), ssl=trusting(authority)) as client:
            await client.send("hello")
            assert await client.recv() == "hello"


@pytest.mark.parametrize(
    ("identity", "validity", "trusted", "reason"),
    [
        (["127.0.0.1"], None, False, "self-signed|unable to get local issuer"),
        (["other.example"], None, True, "IP address mismatch"),
        (["127.0.0.1"], datetime.datetime(2001, 1, 1), True, "expired"),
    ],
    ids=["unknown authority", "other name", "expired"],
)
async def test_a_wrong_certificate(
    authority: trustme.CA,
    identity: list[str],
    validity: datetime.datetime | None,
    trusted: bool,
    reason: str,
) -> None:
    certificate = authority.issue_cert(*identity, not_after=validity)
    good = server_context(certificate)
    client = trusting(authority) if trusted else ssl.create_default_context()
    handled = False

    async def handler(connection: Any) -> None:
        nonlocal handled
        handled = True

    async with watched(handler, ssl=good) as watch:
        with pytest.raises(ssl.SSLCertVerificationError, match=reason):
            await connect(url(watch.server, "wss"), ssl=client)
    assert not handled


async def test_wss_to_a_plain_port() -> None:
    async with watched() as watch:
        with pytest.raises(ssl.SSLError):
            await connect(url(watch.server, "wss"), ssl=ssl.create_default_context())
        assert watch.handled == 0


async def test_ws_to_a_tls_port(authority: trustme.CA) -> None:
    context = server_context(authority.issue_cert("127.0.0.1"))
    async with watched(ssl=context, honest={"ssl": trusting(authority)}) as watch:
        with pytest.raises((InvalidMessage, ConnectionError)) as caught:
            await connect(url(watch.server, "ws"))
        assert str(caught.value)
        assert watch.handled == 0


@pytest.mark.parametrize("octets", [b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"])
async def test_a_tls_handshake_that_is_not_finished(authority: trustme.CA, octets: bytes) -> None:
    context = server_context(authority.issue_cert("127.0.0.1"))
    options: dict[str, Any] = {"ssl": context, "open_timeout": 0.3}
    async with watched(**options, honest={"ssl": trusting(authority)}) as watch:
        host, port = watch.server.sockets[0].getsockname()[:2]
        peer = Raw(*await asyncio.open_connection(host, port))
        await peer.send(octets)
        await peer.rest()
        assert watch.handled == 0


async def test_a_client_whose_server_vanishes_in_the_tls_handshake() -> None:
    async with hostile_server(says(b"", first=True, then="wait")) as address:
        with pytest.raises(TimeoutError):
            await connect(
                address.replace("ws:", "wss:"), ssl=ssl.create_default_context(), open_timeout=0.2
            )


async def test_echo_is_what_the_servers_here_do_otherwise() -> None:
    async with watched(echo) as watch, connect(url(watch.server)) as client:
        await client.send("hello")
        assert await client.recv() == "hello"
