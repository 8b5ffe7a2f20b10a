"""What the fast way through an opening handshake accepts, the general way accepts alike.

Heads of real clients are changed at random: octets, lines, values. Whatever `Upgrades` answers of
them is given to `ServerExchange` and `negotiate`, which must find the same in it and answer with
the same octets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.base.limits import DEFAULT_LIMITS, Limits
from duologue.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from duologue.protocol.exchange import ServerExchange
from duologue.protocol.handshake import negotiate
from duologue.protocol.upgrade import Upgrades
from duologue.wire.http11 import SERVER, Response, read_request
from duologue.wire.permessage_deflate import enable_server_permessage_deflate

from .real_heads import HEADS

SAME_SITE = "http://localhost:8000"


@dataclass
class Setup:
    """A server's configuration and its two ways of answering."""

    options: dict[str, Any] = field(default_factory=dict)
    server_header: str | None = SERVER
    limits: Limits = DEFAULT_LIMITS

    def __post_init__(self) -> None:
        # One for all examples, so that what it remembers of one is used for others.
        self.upgrades = Upgrades(self.limits, server_header=self.server_header, **self.options)


SETUPS = {
    "default": Setup({"extensions": enable_server_permessage_deflate(None)}),
    "plain": Setup(server_header=None),
    "subprotocols": Setup({"subprotocols": ["superchat", "chat"], "extensions": []}),
    "origins": Setup(
        {
            "origins": [None, SAME_SITE, re.compile(r"https://(.*\.)?example\.com")],
            "extensions": enable_server_permessage_deflate(None),
        }
    ),
    "own deflate": Setup(
        {
            "extensions": [
                ServerPerMessageDeflateFactory(
                    server_no_context_takeover=True,
                    client_max_window_bits=9,
                    require_client_max_window_bits=True,
                ),
                ServerPerMessageDeflateFactory(server_max_window_bits=15),
            ]
        },
        server_header="other",
    ),
    "few headers": Setup(limits=Limits(max_headers=9, max_line=600, max_head=700)),
}

LINES = [
    b"Host: other",
    b"Host: [::1]:80",
    b"Host: a b",
    b"Host:",
    b"host:localhost:8000",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: upgrade, keep-alive",
    b"Connection: Upgrade, close",
    b"Upgrade: h2c, websocket",
    b"UPGRADE: WebSocket",
    b"Upgrade: websocket/13",
    b"Sec-WebSocket-Version: 8",
    b"Sec-WebSocket-Version: 13, 8",
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAB==",
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA",
    b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover",
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=10; "
    b"server_max_window_bits=10",
    b"Sec-WebSocket-Extensions: permessage-deflate, permessage-deflate; client_max_window_bits",
    b"Sec-WebSocket-Extensions: x-webkit-deflate-frame",
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=99",
    b"Sec-WebSocket-Extensions: =",
    b"Sec-WebSocket-Protocol: chat",
    b"Sec-WebSocket-Protocol: chat,,superchat",
    b"Sec-WebSocket-Protocol: no such",
    b"Origin: null",
    b"Origin: https://www.example.com",
    b"Origin: https://evil.example",
    b"Cookie: a=b",
    b"Content-Length: 0",
    b"Content-Length: 5",
    b"Transfer-Encoding: chunked",
    b"Expect: 100-continue",
    b"X-Empty:",
    b"X-Tab: \ta\t",
    b"X-Latin: \xe9",
    b"X-Space :",
    b" folded",
    b"Proxy-Connection: keep-alive",
    b"Authorization: Basic dXNlcjpwYXNz",
]
OCTETS = st.sampled_from([0, 9, 10, 13, 32, 34, 44, 58, 59, 61, 65, 97, 127, 128, 255])


@st.composite
def changed(draw: st.DrawFn) -> bytes:
    """A real head with some of its lines and octets changed, and what comes after it."""
    data = draw(st.sampled_from(sorted(HEADS.values())))
    for _ in range(draw(st.integers(0, 3))):
        lines = data.split(b"\r\n")
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["drop", "repeat", "move", "insert", "replace", "case"])):
            case "drop":
                del lines[at]
            case "repeat":
                lines.insert(at, lines[at])
            case "move":
                lines.insert(draw(st.integers(0, len(lines) - 1)), lines.pop(at))
            case "insert":
                lines.insert(max(at, 1), draw(st.sampled_from(LINES)))
            case "replace":
                new = draw(st.sampled_from(LINES))
                name = new.partition(b":")[0].lower()
                lines = [new if one.lower().startswith(name + b":") else one for one in lines]
            case "case":
                lines[at] = draw(st.sampled_from([lines[at].upper(), lines[at].lower()]))
        data = b"\r\n".join(lines)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        octet = bytes([draw(OCTETS)])
        data = data[:at] + octet + data[at + draw(st.integers(0, 1)) :]
    return data + draw(st.sampled_from([b"", b"", b"\x89\x80abcd", b"GET / HTTP/1.1\r\n\r\n"]))


def undated(octets: bytes) -> bytes:
    """Take the date out of an answer."""
    text, count = re.subn(rb"\r\nDate: [^\r]+ GMT\r\n", b"\r\nDate:\r\n", octets)
    assert count == 1
    return text


def described(extensions: Sequence[Any]) -> list[str]:
    return [f"{one!r} {one.threshold} {one.compress_settings}" for one in extensions]


def compare(setup: Setup, data: bytes) -> bool:
    """Hold the fast way's result against the general way's; return whether there was one."""
    fast = setup.upgrades.answer(data)
    if fast is None:
        return False
    octets, extensions, subprotocol, origin, kept, size, questionable = fast
    exchange = ServerExchange(setup.limits)
    exchange.receive(data)
    request = exchange.next_request()
    assert request is not None
    assert exchange.data_to_send() == b""
    assert exchange.head == data[:size]
    assert exchange.rest == data[size:]
    agreed = negotiate(request, **setup.options)
    response = Response(101, "Switching Protocols", agreed.headers)
    if setup.server_header is not None:
        response.headers["Server"] = setup.server_header
    assert undated(octets) == undated(exchange.respond(request, response))
    assert described(extensions) == described(agreed.extensions)
    assert (subprotocol, origin) == (agreed.subprotocol, agreed.origin)
    accept = response.headers["Sec-WebSocket-Accept"].encode()
    assert kept == octets.replace(accept, b"")
    again = read_request(data[:size])
    assert (again, list(again.headers.raw_items())) == (request, list(request.headers.raw_items()))
    doubtful = (
        setup.options.get("origins") is None
        and origin is not None
        and "Cookie" in request.headers
        and urlsplit(origin).netloc != request.headers["Host"]
    )
    assert questionable or not doubtful, "the general way would warn of this"
    return True


@pytest.mark.parametrize("name", SETUPS)
@given(data=changed())
def test_the_general_way_agrees(name: str, data: bytes) -> None:
    compare(SETUPS[name], data)


@pytest.mark.parametrize("client", HEADS)
def test_real_clients_are_recognised(client: str) -> None:
    assert compare(SETUPS["default"], HEADS[client])
    assert compare(SETUPS["default"], HEADS[client] + b"\x89\x80abcd")
    assert compare(SETUPS["plain"], HEADS[client])


@given(data=st.binary(max_size=300))
def test_anything_may_come(data: bytes) -> None:
    compare(SETUPS["default"], data)


@given(cut=st.integers(0, 10_000), head=st.sampled_from(sorted(HEADS.values())))
def test_half_a_head_is_none(cut: int, head: bytes) -> None:
    assert SETUPS["default"].upgrades.answer(head[: cut % len(head)]) is None
