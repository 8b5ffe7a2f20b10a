"""The opening handshake against two independent implementations, in both roles.

Peers are the sans-I/O halves of `websockets` and `wsproto`. Whatever both sides are configured
with, and however the octets between them are cut, they must come to the same result and then
understand each other's messages.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import pytest
import websockets.client
import websockets.extensions.permessage_deflate
import websockets.http11
import websockets.server
import websockets.uri
import wsproto.events
import wsproto.extensions
from hypothesis import given, settings
from hypothesis import strategies as st

import duologue.client
import duologue.datastructures
import duologue.extensions.permessage_deflate
import duologue.http11
import duologue.server
import duologue.uri
from duologue.protocol import Request, ServerExchange, State
from duologue.protocol.handshake import (
    accept_key,
    build_request,
    check_response,
    generate_key,
    negotiate,
)
from duologue.wire.http11 import Response, ResponseParser


class End(Protocol):
    """One end of a connection, whoever implements it."""

    def start(self) -> bytes: ...

    def receive(self, data: bytes) -> bytes: ...

    def say(self, text: str) -> bytes: ...

    @property
    def open(self) -> bool: ...

    @property
    def subprotocol(self) -> str | None: ...

    @property
    def deflates(self) -> bool: ...

    @property
    def heard(self) -> list[str]: ...


class SansIO:
    """`websockets` and this package: the same names, hence the same adapter."""

    def __init__(self, package: Any, client: bool, protocols: Sequence[str], deflate: bool) -> None:
        self.heard: list[str] = []
        self.package = package
        if client:
            factory = package.extensions.permessage_deflate.ClientPerMessageDeflateFactory
            self.protocol = package.client.ClientProtocol(
                package.uri.parse_uri("ws://example.com/path?query"),
                subprotocols=list(protocols) or None,
                extensions=[factory()] if deflate else None,
            )
        else:
            factory = package.extensions.permessage_deflate.ServerPerMessageDeflateFactory
            self.protocol = package.server.ServerProtocol(
                subprotocols=list(protocols) or None,
                extensions=[factory()] if deflate else None,
            )

    def start(self) -> bytes:
        self.protocol.send_request(self.protocol.connect())
        return b"".join(self.protocol.data_to_send())

    def receive(self, data: bytes) -> bytes:
        self.protocol.receive_data(data)
        for event in self.protocol.events_received():
            if isinstance(event, self.package.http11.Request):
                self.protocol.send_response(self.protocol.accept(event))
            elif hasattr(event, "opcode"):
                self.heard.append(bytes(event.data).decode())
        return b"".join(self.protocol.data_to_send())

    def say(self, text: str) -> bytes:
        self.protocol.send_text(text.encode())
        return b"".join(self.protocol.data_to_send())

    @property
    def open(self) -> bool:
        return self.protocol.state.name == "OPEN"

    @property
    def subprotocol(self) -> str | None:
        return self.protocol.subprotocol

    @property
    def deflates(self) -> bool:
        return [extension.name for extension in self.protocol.extensions] == ["permessage-deflate"]


class WSProto:
    """`wsproto`; as a server it takes the first offered subprotocol it knows."""

    def __init__(self, client: bool, protocols: Sequence[str], deflate: bool) -> None:
        kind = wsproto.ConnectionType.CLIENT if client else wsproto.ConnectionType.SERVER
        self.connection = wsproto.WSConnection(kind)
        self.protocols = list(protocols)
        self.extensions = [wsproto.extensions.PerMessageDeflate()] if deflate else []
        self.heard: list[str] = []
        self.agreed: Any = None
        self.subprotocol: str | None = None
        self.pending = ""

    def start(self) -> bytes:
        return self.connection.send(
            wsproto.events.Request(
                host="example.com",
                target="/path?query",
                subprotocols=self.protocols,
                extensions=self.extensions,
            )
        )

    def receive(self, data: bytes) -> bytes:
        self.connection.receive_data(data)
        out = b""
        for event in self.connection.events():
            if isinstance(event, wsproto.events.Request):
                out += self.answer(event)
            elif isinstance(event, wsproto.events.AcceptConnection):
                self.subprotocol, self.agreed = event.subprotocol, event.extensions
            elif isinstance(event, wsproto.events.TextMessage):
                self.pending += event.data
                if event.message_finished:
                    self.heard.append(self.pending)
                    self.pending = ""
        return out

    def answer(self, request: wsproto.events.Request) -> bytes:
        common = [name for name in self.protocols if name in request.subprotocols]
        if self.protocols and not common:
            return self.connection.send(wsproto.events.RejectConnection(status_code=400))
        self.subprotocol = common[0] if common else None
        self.agreed = self.extensions
        accept = wsproto.events.AcceptConnection(
            subprotocol=self.subprotocol, extensions=self.extensions
        )
        return self.connection.send(accept)

    def say(self, text: str) -> bytes:
        return self.connection.send(wsproto.events.TextMessage(text))

    @property
    def open(self) -> bool:
        return self.connection.state is wsproto.connection.ConnectionState.OPEN

    @property
    def deflates(self) -> bool:
        return any(extension.enabled() for extension in self.agreed or [])


Make = Callable[[bool, Sequence[str], bool], End]


def ours(client: bool, protocols: Sequence[str], deflate: bool) -> End:
    return SansIO(duologue, client, protocols, deflate)


def theirs(client: bool, protocols: Sequence[str], deflate: bool) -> End:
    return SansIO(websockets, client, protocols, deflate)


def wsprotos(client: bool, protocols: Sequence[str], deflate: bool) -> End:
    return WSProto(client, protocols, deflate)


PAIRS: dict[str, tuple[Make, Make]] = {
    "ours-ours": (ours, ours),
    "ours-websockets": (ours, theirs),
    "ours-wsproto": (ours, wsprotos),
    "websockets-ours": (theirs, ours),
    "wsproto-ours": (wsprotos, ours),
}


def feed(end: End, data: bytes, cuts: Sequence[int]) -> bytes:
    """Hand data over in pieces and collect what comes back."""
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(data)}), len(data)]
    pieces = itertools.pairwise(edges)
    return b"".join(end.receive(data[begin:stop]) for begin, stop in pieces)


def shake(client: End, server: End, cuts: Sequence[int]) -> None:
    feed(client, feed(server, client.start(), cuts), cuts)


def talk(client: End, server: End, text: str, cuts: Sequence[int]) -> None:
    feed(server, client.say(text), cuts)
    feed(client, server.say(text[::-1]), cuts)
    assert server.heard[-1] == text
    assert client.heard[-1] == text[::-1]


protocol_lists = st.lists(st.sampled_from(["v1", "v2", "v3", "x.y-z"]), unique=True, max_size=3)
cut_lists = st.one_of(
    st.just([]), st.just(list(range(1000))), st.lists(st.integers(1, 600), max_size=6)
)


@pytest.mark.parametrize("pair", PAIRS)
@given(
    offered=protocol_lists,
    spoken=protocol_lists,
    client_deflates=st.booleans(),
    server_deflates=st.booleans(),
    text=st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40),
    cuts=cut_lists,
)
@settings(max_examples=60, deadline=None)
def test_both_ends_agree(
    pair: str,
    offered: list[str],
    spoken: list[str],
    client_deflates: bool,
    server_deflates: bool,
    text: str,
    cuts: list[int],
) -> None:
    make_client, make_server = PAIRS[pair]
    client = make_client(True, offered, client_deflates)
    server = make_server(False, spoken, server_deflates)
    shake(client, server, cuts)
    expected = next((name for name in spoken if name in offered), None)
    assert client.open == server.open == (not spoken or expected is not None)
    if not client.open:
        return
    assert client.subprotocol == server.subprotocol == expected
    assert client.deflates == server.deflates == (client_deflates and server_deflates)
    talk(client, server, text, cuts)


def every_cut(size: int) -> Iterator[list[int]]:
    yield []
    yield list(range(size))
    for cut in range(1, size):
        yield [cut]


@pytest.mark.parametrize("pair", PAIRS)
def test_every_split(pair: str) -> None:
    make_client, make_server = PAIRS[pair]
    size = 400
    for cuts in every_cut(size):
        client = make_client(True, ["v1", "v2"], True)
        server = make_server(False, ["v2"], True)
        shake(client, server, cuts)
        assert client.open and server.open
        assert client.subprotocol == server.subprotocol == "v2"
        assert client.deflates and server.deflates


# One request, two judges

CHOICES: dict[str, list[list[str]]] = {
    "Host": [["example.com"]],
    "Connection": [["Upgrade"], ["keep-alive, upgrade"], ["keep-alive", "Upgrade"], ["close"], []],
    "Upgrade": [["websocket"], ["WebSocket"], ["h2c"], []],
    "Sec-WebSocket-Key": [
        ["dGhlIHNhbXBsZSBub25jZQ=="],
        ["AQIDBA=="],
        ["dGhlIHNhbXBsZSBub25jZQ"],
        ["*"],
        [],
        ["dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=="],
    ],
    "Sec-WebSocket-Version": [["13"], ["8"], ["13", "13"], []],
    "Sec-WebSocket-Protocol": [[], ["v1"], ["v1, v2"], ["v2", "v1"], ["v9"], ["v1;"]],
    "Sec-WebSocket-Extensions": [
        [],
        ["permessage-deflate"],
        ["permessage-deflate; client_max_window_bits"],
        ["permessage-deflate; server_max_window_bits=10; client_no_context_takeover"],
        ["permessage-deflate; server_max_window_bits=7"],
        ["permessage-deflate; nonsense, permessage-deflate"],
        ["x-other, permessage-deflate"],
        ["permessage-deflate;;"],
    ],
    "Origin": [[], ["http://a.example"], ["http://b.example"], ["null"]],
}


@given(
    lines=st.fixed_dictionaries(
        {name: st.sampled_from(options) for name, options in CHOICES.items()}
    ),
    method=st.sampled_from(["GET", "GET", "GET", "POST", "HEAD"]),
    version=st.sampled_from(["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]),
    spoken=st.sampled_from([None, ["v1"], ["v2", "v1"]]),
    origins=st.sampled_from([None, ["http://a.example"], ["http://a.example", None]]),
)
@settings(max_examples=400, deadline=None)
def test_the_same_verdict_as_websockets(
    lines: dict[str, list[str]],
    method: str,
    version: str,
    spoken: list[str] | None,
    origins: list[str | None] | None,
) -> None:
    head = f"{method} / {version}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, values in lines.items() for value in values)
    answers = []
    for package in (duologue, websockets):
        module = package.extensions.permessage_deflate
        server = package.server.ServerProtocol(
            origins=origins,
            subprotocols=spoken,
            extensions=[module.ServerPerMessageDeflateFactory()],
        )
        server.receive_data(head.encode() + b"\r\n")
        (request,) = server.events_received()
        response = server.accept(request)
        answers.append((response, type(server.handshake_exc).__name__))
    (mine, my_reason), (other, other_reason) = answers
    if mine.status_code == 426 and "Sec-WebSocket-Version" in mine.headers:
        # Another version is answered with 426 here (RFC 6455 section 4.4), with 400 there.
        assert other.status_code == 400
        return
    if b"Sec-WebSocket-Version" in mine.body and other_reason.startswith("InvalidHeader"):
        # The version is looked at before the key here, after it there.
        assert other.status_code == mine.status_code == 400
        return
    assert mine.status_code == other.status_code
    assert my_reason == other_reason
    for name in ("Sec-WebSocket-Accept", "Sec-WebSocket-Protocol", "Upgrade", "Allow"):
        assert mine.headers.get(name) == other.headers.get(name)
    extensions = [response.headers.get("Sec-WebSocket-Extensions") for response in (mine, other)]
    assert [value is None for value in extensions] in ([True, True], [False, False])


# The pure functions the connections use, fed through the HTTP exchange


@given(
    offered=protocol_lists,
    spoken=protocol_lists,
    cuts=cut_lists,
    origin=st.sampled_from([None, "http://a.example"]),
)
@settings(max_examples=80, deadline=None)
def test_pure_functions_agree_with_themselves(
    offered: list[Any], spoken: list[Any], cuts: list[int], origin: Any
) -> None:
    key = generate_key()
    request = build_request(
        duologue.uri.parse_uri("wss://example.com:8443/a?b"),
        key=key,
        subprotocols=offered,
        origin=origin,
    )
    exchange = ServerExchange()
    data = request.serialize() + b"frames"
    received: Request | None = None
    for begin in [0, *sorted({cut for cut in cuts if 0 < cut < len(data)})]:
        stop = min((cut for cut in cuts if cut > begin), default=len(data))
        exchange.receive(data[begin : min(stop, len(data))])
        received = received or exchange.next_request()
    assert received is not None
    assert received.headers == request.headers
    agreed = negotiate(
        received, select_subprotocol=lambda names: next((n for n in names if n in spoken), None)
    )
    assert agreed.origin == origin
    answer = Response(101, "Switching Protocols", agreed.headers)
    parser = ResponseParser()
    response = parser.feed(exchange.respond(received, answer))
    assert response is not None
    assert response.headers["Sec-WebSocket-Accept"] == accept_key(key)
    assert check_response(response, key=key, subprotocols=offered).subprotocol == agreed.subprotocol
    assert exchange.rest == b"frames"


@given(noise=st.binary(max_size=300), cuts=cut_lists)
@settings(max_examples=200, deadline=None)
def test_noise_never_opens_a_server(noise: bytes, cuts: list[int]) -> None:
    server = duologue.server.ServerProtocol()
    end = SansIO(duologue, False, [], True)
    end.protocol = server
    back = feed(end, noise, cuts)
    server.receive_eof()
    assert server.state is State.CLOSED
    assert server.handshake_exc is not None
    assert back == b"" or back.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5"))


@given(noise=st.binary(max_size=300), cuts=cut_lists)
@settings(max_examples=200, deadline=None)
def test_noise_never_opens_a_client(noise: bytes, cuts: list[int]) -> None:
    end = SansIO(duologue, True, [], True)
    end.start()
    assert feed(end, noise, cuts) == b""
    end.protocol.receive_eof()
    assert end.protocol.state is State.CLOSED
    assert end.protocol.handshake_exc is not None
    assert end.heard == []
