"""``ClientProtocol`` and ``ServerProtocol``: conversations without a network.

Octets come in whole, one at a time, or cut anywhere; what comes out may not depend on it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from .ends import (
    BINARY,
    CLOSE,
    CONT,
    KEY,
    PING,
    PONG,
    TEXT,
    close_payload,
    encode_frame,
    upgrade_request,
    upgrade_response,
)
from .library import Library

ACCEPT = "Sec-WebSocket-Accept"


def whole(octets: bytes) -> Iterable[bytes]:
    return [octets]


def bytewise(octets: bytes) -> Iterable[bytes]:
    return [octets[i : i + 1] for i in range(len(octets))]


def halves(octets: bytes) -> Iterable[bytes]:
    middle = len(octets) // 2
    return [part for part in (octets[:middle], octets[middle:]) if part]


CUTS = pytest.mark.parametrize("cut", [whole, bytewise, halves])


def feed(protocol: Any, octets: bytes, cut: Callable[[bytes], Iterable[bytes]] = whole) -> None:
    for part in cut(octets):
        protocol.receive_data(part)


def client_of(lib: Library, address: str = "ws://localhost/", **options: Any) -> Any:
    return lib.ClientProtocol(lib.parse_uri(address), **options)


def opened(lib: Library, role: str, **options: Any) -> Any:
    """A protocol whose opening handshake is over."""
    if role == "client":
        return client_of(lib, state=lib.State.OPEN, **options)
    return lib.ServerProtocol(state=lib.State.OPEN, **options)


def incoming(role: str, opcode: int, payload: bytes = b"", **options: Any) -> bytes:
    """A frame from the peer of ``role``."""
    return encode_frame(opcode, payload, mask=role == "server", **options)


def frames_of(data: list[bytes], role: str) -> tuple[list[tuple[int, bytes, bool]], bool]:
    """The frames in ``data_to_send()``, and whether the end of the stream follows them."""
    ended = bool(data) and data[-1] == b""
    octets = b"".join(data)
    frames = []
    while octets:
        opcode, fin = octets[0] & 0x0F, bool(octets[0] & 0x80)
        masked, length = octets[1] & 0x80, octets[1] & 0x7F
        assert bool(masked) == (role == "client")
        start = 2
        if length == 126:
            length, start = int.from_bytes(octets[2:4], "big"), 4
        elif length == 127:
            length, start = int.from_bytes(octets[2:10], "big"), 10
        key = b"\0\0\0\0"
        if masked:
            key, start = octets[start : start + 4], start + 4
        payload = octets[start : start + length]
        assert len(payload) == length
        frames.append((opcode, bytes(o ^ key[i % 4] for i, o in enumerate(payload)), fin))
        octets = octets[start + length :]
    return frames, ended


# The opening handshake, client.


def test_connect_builds_a_request(lib: Library) -> None:
    request = client_of(lib, "wss://example.com/room?x=1").connect()
    assert isinstance(request, lib.Request)
    assert request.path == "/room?x=1"
    headers = request.headers
    assert headers["Host"] == "example.com"
    assert headers["Upgrade"].lower() == "websocket"
    assert headers["Connection"] == "Upgrade"
    assert headers["Sec-WebSocket-Version"] == "13"
    assert len(headers["Sec-WebSocket-Key"]) == 24
    assert "Origin" not in headers
    assert "Sec-WebSocket-Protocol" not in headers
    assert "Sec-WebSocket-Extensions" not in headers


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("ws://example.com/", "example.com"),
        ("ws://example.com:80/", "example.com"),
        ("ws://example.com:8080/", "example.com:8080"),
        ("wss://example.com/", "example.com"),
        ("wss://example.com:443/", "example.com"),
        ("wss://example.com:80/", "example.com:80"),
        ("ws://[::1]:8080/", "[::1]:8080"),
    ],
)
def test_host(lib: Library, address: str, host: str) -> None:
    assert client_of(lib, address).connect().headers["Host"] == host


def test_optional_headers(lib: Library) -> None:
    protocol = client_of(
        lib,
        "ws://hello:iloveyou@example.com/",
        origin="https://example.com",
        subprotocols=["chat", "superchat"],
        extensions=[lib.ClientPerMessageDeflateFactory()],
    )
    headers = protocol.connect().headers
    assert headers["Origin"] == "https://example.com"
    assert headers["Authorization"] == "Basic aGVsbG86aWxvdmV5b3U="
    assert headers["Sec-WebSocket-Protocol"] == "chat, superchat"
    assert headers["Sec-WebSocket-Extensions"] == "permessage-deflate; client_max_window_bits"


def test_send_request(lib: Library) -> None:
    protocol = client_of(lib)
    request = protocol.connect()
    request.headers["X-Added"] = "yes"
    protocol.send_request(request)
    octets = b"".join(protocol.data_to_send())
    assert octets.startswith(b"GET / HTTP/1.1\r\n")
    assert b"X-Added: yes\r\n" in octets
    assert octets.endswith(b"\r\n\r\n")
    assert protocol.data_to_send() == []
    assert protocol.state is lib.State.CONNECTING
    assert not protocol.close_expected()


def connecting(lib: Library, **options: Any) -> tuple[Any, bytes]:
    """A client that sent its request, and that request."""
    protocol = client_of(lib, **options)
    protocol.send_request(protocol.connect())
    return protocol, b"".join(protocol.data_to_send())


@CUTS
def test_client_accepts_the_answer(lib: Library, cut: Any) -> None:
    protocol, request = connecting(lib, subprotocols=["chat"])
    feed(protocol, upgrade_response(request, "Sec-WebSocket-Protocol: chat"), cut)
    (response,) = protocol.events_received()
    assert isinstance(response, lib.Response)
    assert response.status_code == 101
    assert protocol.handshake_exc is None
    assert protocol.state is lib.State.OPEN
    assert protocol.subprotocol == "chat"
    assert protocol.data_to_send() == []


@CUTS
def test_client_takes_frames_behind_the_answer(lib: Library, cut: Any) -> None:
    protocol, request = connecting(lib)
    feed(protocol, upgrade_response(request) + incoming("client", TEXT, b"first"), cut)
    response, frame = protocol.events_received()
    assert response.status_code == 101
    assert frame == lib.Frame(lib.Opcode.TEXT, b"first")


@CUTS
@pytest.mark.parametrize(
    ("change", "exception"),
    [
        ((b" 101 Switching Protocols", b" 403 Forbidden"), "InvalidStatus"),
        ((b"Upgrade: websocket\r\n", b""), "InvalidUpgrade"),
        ((b"Upgrade: websocket\r\n", b"Upgrade: h2c\r\n"), "InvalidUpgrade"),
        ((b"Connection: Upgrade\r\n", b"Connection: close\r\n"), "InvalidUpgrade"),
        ((b"Accept: ", b"Accept: x"), "InvalidHeaderValue"),
        ((b"Sec-WebSocket-Accept", b"X-Accept"), "InvalidHeader"),
        ((b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: x\r\n\r\n"), "NegotiationError"),
        ((b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: x\r\n\r\n"), "NegotiationError"),
    ],
)
def test_client_refuses_wrong_answers(
    lib: Library, cut: Any, change: tuple[bytes, bytes], exception: str
) -> None:
    protocol, request = connecting(lib)
    answer = upgrade_response(request).replace(*change)
    if exception == "InvalidStatus":
        answer = answer.replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n")
    feed(protocol, answer, cut)
    assert isinstance(protocol.handshake_exc, getattr(lib, exception))
    assert protocol.state is lib.State.CONNECTING
    assert protocol.data_to_send() == [b""]
    assert protocol.close_expected()
    (response,) = protocol.events_received()
    assert isinstance(response, lib.Response)
    protocol.receive_eof()
    assert protocol.state is lib.State.CLOSED


def test_client_never_gets_an_answer(lib: Library) -> None:
    protocol, _ = connecting(lib)
    protocol.receive_eof()
    assert isinstance(protocol.handshake_exc, lib.InvalidMessage)
    assert isinstance(protocol.handshake_exc.__cause__, EOFError)
    assert protocol.events_received() == []


def test_client_gets_something_else(lib: Library) -> None:
    protocol, _ = connecting(lib)
    protocol.receive_data(b"220 smtp.invalid ESMTP\r\n")
    assert isinstance(protocol.handshake_exc, lib.InvalidMessage)
    assert protocol.data_to_send() == [b""]


# The opening handshake, server.


@CUTS
def test_server_receives_the_request(lib: Library, cut: Any) -> None:
    protocol = lib.ServerProtocol()
    feed(protocol, upgrade_request("/room?x=1", "X-Extra: yes"), cut)
    (request,) = protocol.events_received()
    assert isinstance(request, lib.Request)
    assert request.path == "/room?x=1"
    assert request.headers["x-extra"] == "yes"
    assert protocol.data_to_send() == []
    assert protocol.state is lib.State.CONNECTING


def received_request(lib: Library, protocol: Any, *headers: str) -> Any:
    protocol.receive_data(upgrade_request("/", *headers))
    (request,) = protocol.events_received()
    return request


def test_server_accepts(lib: Library) -> None:
    protocol = lib.ServerProtocol()
    response = protocol.accept(received_request(lib, protocol))
    assert (response.status_code, response.reason_phrase) == (101, "Switching Protocols")
    assert response.headers["Upgrade"].lower() == "websocket"
    assert response.headers["Connection"] == "Upgrade"
    assert upgrade_response(upgrade_request()).decode().count(response.headers[ACCEPT]) == 1
    protocol.send_response(response)
    octets = b"".join(protocol.data_to_send())
    assert octets.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert protocol.state is lib.State.OPEN
    assert protocol.handshake_exc is None


def test_example_of_the_rfc(lib: Library) -> None:
    protocol = lib.ServerProtocol()
    octets = upgrade_request().replace(KEY.encode(), b"dGhlIHNhbXBsZSBub25jZQ==")
    protocol.receive_data(octets)
    (request,) = protocol.events_received()
    assert protocol.accept(request).headers[ACCEPT] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_server_rejects(lib: Library) -> None:
    protocol = lib.ServerProtocol()
    received_request(lib, protocol)
    response = protocol.reject(404, "Sorry folks.\n")
    assert (response.status_code, response.reason_phrase) == (404, "Not Found")
    assert response.body == b"Sorry folks.\n"
    protocol.send_response(response)
    data = protocol.data_to_send()
    assert b"".join(data).startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert b"".join(data).endswith(b"\r\n\r\nSorry folks.\n")
    assert data[-1] == b""
    assert protocol.state is lib.State.CONNECTING
    assert protocol.close_expected()
    protocol.receive_eof()
    assert protocol.state is lib.State.CLOSED


@pytest.mark.parametrize(
    ("change", "status", "exception"),
    [
        ((b"GET /", b"POST /"), 405, "InvalidMethod"),
        ((b"Connection: Upgrade\r\n", b""), 426, "InvalidUpgrade"),
        ((b"Upgrade: websocket\r\n", b""), 426, "InvalidUpgrade"),
        ((KEY.encode(), b"short"), 400, "InvalidHeaderValue"),
        ((b"Sec-WebSocket-Key", b"X-Key"), 400, "InvalidHeader"),
        ((b"Sec-WebSocket-Version: 13\r\n", b""), None, "InvalidHeader"),
        ((b"Version: 13", b"Version: 12"), None, "InvalidHeaderValue"),
        ((b"\r\n\r\n", b"\r\nOrigin: https://evil.example\r\n\r\n"), 403, "InvalidOrigin"),
    ],
)
def test_server_refuses_wrong_requests(
    lib: Library, change: tuple[bytes, bytes], status: int | None, exception: str
) -> None:
    protocol = lib.ServerProtocol(origins=["https://good.example", None])
    protocol.receive_data(upgrade_request().replace(*change))
    (request,) = protocol.events_received()
    response = protocol.accept(request)
    if status is None:
        assert 400 <= response.status_code < 500
    else:
        assert response.status_code == status
    assert isinstance(protocol.handshake_exc, getattr(lib, exception))
    protocol.send_response(response)
    assert protocol.data_to_send()[-1] == b""
    assert protocol.state is lib.State.CONNECTING


def test_server_negotiates(lib: Library) -> None:
    protocol = lib.ServerProtocol(
        origins=[re.compile(r"https://.*\.example")],
        subprotocols=["v2", "v1"],
        extensions=[lib.ServerPerMessageDeflateFactory()],
    )
    request = received_request(
        lib,
        protocol,
        "Origin: https://good.example",
        "Sec-WebSocket-Protocol: v1, v2",
        "Sec-WebSocket-Extensions: x-unknown, permessage-deflate; client_max_window_bits",
    )
    response = protocol.accept(request)
    assert response.status_code == 101
    assert response.headers["Sec-WebSocket-Protocol"] == "v2"
    assert response.headers["Sec-WebSocket-Extensions"].startswith("permessage-deflate")
    assert protocol.subprotocol == "v2"
    assert protocol.origin == "https://good.example"
    assert [extension.name for extension in protocol.extensions] == ["permessage-deflate"]


def test_select_subprotocol(lib: Library) -> None:
    def select(protocol: Any, subprotocols: Any) -> str | None:
        assert isinstance(protocol, lib.ServerProtocol)
        return str(list(subprotocols)[-1])

    protocol = lib.ServerProtocol(select_subprotocol=select)
    request = received_request(lib, protocol, "Sec-WebSocket-Protocol: one, two")
    assert protocol.accept(request).headers["Sec-WebSocket-Protocol"] == "two"


def test_failing_select_subprotocol(lib: Library) -> None:
    def select(protocol: Any, subprotocols: Any) -> str | None:
        raise ZeroDivisionError

    protocol = lib.ServerProtocol(select_subprotocol=select)
    response = protocol.accept(received_request(lib, protocol))
    assert response.status_code == 500
    assert isinstance(protocol.handshake_exc, ZeroDivisionError)


@CUTS
def test_both_protocols_together(lib: Library, cut: Any) -> None:
    client = client_of(lib, extensions=[lib.ClientPerMessageDeflateFactory()])
    server = lib.ServerProtocol(extensions=[lib.ServerPerMessageDeflateFactory()])
    client.send_request(client.connect())
    feed(server, b"".join(client.data_to_send()), cut)
    (request,) = server.events_received()
    server.send_response(server.accept(request))
    server.send_text(b"greeting " * 300)
    feed(client, b"".join(server.data_to_send()), cut)
    response, greeting = client.events_received()
    assert response.status_code == 101
    assert bytes(greeting.data) == b"greeting " * 300
    client.send_close(1000, "bye")
    feed(server, b"".join(client.data_to_send()), cut)
    data = server.data_to_send()
    assert data[-1] == b""
    feed(client, b"".join(data), cut)
    client.receive_eof()
    assert client.data_to_send() == [b""]
    server.receive_eof()
    for protocol in (client, server):
        assert protocol.state is lib.State.CLOSED
        assert (protocol.close_code, protocol.close_reason) == (1000, "bye")


# Sending.


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_send_binary(lib: Library, role: str, size: int) -> None:
    protocol = opened(lib, role)
    protocol.send_binary(b"\xfe" * size)
    assert frames_of(protocol.data_to_send(), role) == ([(BINARY, b"\xfe" * size, True)], False)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_send_text(lib: Library, role: str, kind: Any) -> None:
    protocol = opened(lib, role)
    protocol.send_text(kind("😀".encode()))
    assert frames_of(protocol.data_to_send(), role) == ([(TEXT, "😀".encode(), True)], False)


def test_send_fragments(lib: Library, role: str) -> None:
    protocol = opened(lib, role)
    protocol.send_text(b"one", fin=False)
    protocol.send_ping(b"between")
    protocol.send_continuation(b"two", fin=False)
    protocol.send_continuation(b"three", fin=True)
    assert frames_of(protocol.data_to_send(), role)[0] == [
        (TEXT, b"one", False),
        (PING, b"between", True),
        (CONT, b"two", False),
        (CONT, b"three", True),
    ]


def test_order_of_fragments_is_checked(lib: Library, role: str) -> None:
    protocol = opened(lib, role)
    with pytest.raises(lib.ProtocolError):
        protocol.send_continuation(b"", fin=True)
    protocol.send_binary(b"one", fin=False)
    for send in (protocol.send_text, protocol.send_binary):
        with pytest.raises(lib.ProtocolError):
            send(b"another")
    protocol.send_continuation(b"two", fin=True)
    protocol.send_text(b"another")
    assert len(frames_of(protocol.data_to_send(), role)[0]) == 3


def test_send_ping_and_pong(lib: Library, role: str) -> None:
    protocol = opened(lib, role)
    protocol.send_ping(b"ping")
    protocol.send_pong(b"pong")
    assert frames_of(protocol.data_to_send(), role)[0] == [
        (PING, b"ping", True),
        (PONG, b"pong", True),
    ]


@pytest.mark.parametrize("method", ["send_ping", "send_pong"])
def test_control_frames_are_short(lib: Library, role: str, method: str) -> None:
    protocol = opened(lib, role)
    with pytest.raises(lib.ProtocolError):
        getattr(protocol, method)(b"x" * 126)
    assert protocol.data_to_send() == []


def test_masking_keys_differ(lib: Library) -> None:
    protocol = opened(lib, "client")
    keys = set()
    for _ in range(10):
        protocol.send_text(b"same")
        keys.add(b"".join(protocol.data_to_send())[2:6])
    assert len(keys) == 10


def test_data_to_send_empties(lib: Library, role: str) -> None:
    protocol = opened(lib, role)
    protocol.send_text(b"once")
    assert protocol.data_to_send() != []
    assert protocol.data_to_send() == []


@pytest.mark.parametrize("state", ["CONNECTING", "CLOSING", "CLOSED"])
@pytest.mark.parametrize(
    ("method", "arguments"),
    [("send_text", (b"",)), ("send_binary", (b"",)), ("send_close", ())],
)
def test_state_is_checked(
    lib: Library, role: str, state: str, method: str, arguments: tuple[Any, ...]
) -> None:
    protocol = opened(lib, role)
    protocol.state = lib.State[state]
    with pytest.raises(lib.InvalidState, match=state.lower()):
        getattr(protocol, method)(*arguments)


@pytest.mark.parametrize("method", ["send_ping", "send_pong"])
def test_control_frames_may_be_sent_while_closing(lib: Library, role: str, method: str) -> None:
    protocol = opened(lib, role)
    protocol.send_close(1000)
    protocol.data_to_send()
    getattr(protocol, method)(b"")
    assert len(frames_of(protocol.data_to_send(), role)[0]) == 1
    protocol.state = lib.State.CLOSED
    with pytest.raises(lib.InvalidState):
        getattr(protocol, method)(b"")


# Receiving.


@CUTS
@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_receive_binary(lib: Library, role: str, cut: Any, size: int) -> None:
    if cut is bytewise and size > 1000:
        cut = halves
    protocol = opened(lib, role)
    feed(protocol, incoming(role, BINARY, b"\xfe" * size), cut)
    (frame,) = protocol.events_received()
    assert frame == lib.Frame(lib.Opcode.BINARY, b"\xfe" * size)
    assert protocol.data_to_send() == []


def test_receive_at_every_split(lib: Library, role: str) -> None:
    octets = incoming(role, TEXT, "späm".encode()) + incoming(role, BINARY, b"\x00" * 130)
    for at in range(len(octets) + 1):
        protocol = opened(lib, role)
        for part in (octets[:at], octets[at:]):
            protocol.receive_data(part)
        assert protocol.events_received() == [
            lib.Frame(lib.Opcode.TEXT, "späm".encode()),
            lib.Frame(lib.Opcode.BINARY, b"\x00" * 130),
        ]


@CUTS
def test_receive_fragments(lib: Library, role: str, cut: Any) -> None:
    protocol = opened(lib, role)
    octets = (
        incoming(role, TEXT, b"one", fin=False)
        + incoming(role, PING, b"ping")
        + incoming(role, CONT, b"two", fin=False)
        + incoming(role, CONT, b"three")
    )
    feed(protocol, octets, cut)
    assert protocol.events_received() == [
        lib.Frame(lib.Opcode.TEXT, b"one", fin=False),
        lib.Frame(lib.Opcode.PING, b"ping"),
        lib.Frame(lib.Opcode.CONT, b"two", fin=False),
        lib.Frame(lib.Opcode.CONT, b"three"),
    ]
    assert frames_of(protocol.data_to_send(), role) == ([(PONG, b"ping", True)], False)


def test_receive_pong(lib: Library, role: str) -> None:
    protocol = opened(lib, role)
    protocol.receive_data(incoming(role, PONG, b"pong"))
    assert protocol.events_received() == [lib.Frame(lib.Opcode.PONG, b"pong")]
    assert protocol.data_to_send() == []


def test_events_received_empties(lib: Library, role: str) -> None:
    protocol = opened(lib, role)
    protocol.receive_data(incoming(role, TEXT, b"once"))
    assert len(protocol.events_received()) == 1
    assert protocol.events_received() == []


FAULTS = [
    ("unknown opcode", [(0x3, b"", True, 0)], 1002, "ProtocolError"),
    ("unknown control opcode", [(0xB, b"", True, 0)], 1002, "ProtocolError"),
    ("rsv1", [(TEXT, b"", True, 4)], 1002, "ProtocolError"),
    ("rsv2", [(TEXT, b"", True, 2)], 1002, "ProtocolError"),
    ("rsv3", [(TEXT, b"", True, 1)], 1002, "ProtocolError"),
    ("fragmented ping", [(PING, b"", False, 0)], 1002, "ProtocolError"),
    ("long ping", [(PING, b"x" * 126, True, 0)], 1002, "ProtocolError"),
    ("lone continuation", [(CONT, b"", True, 0)], 1002, "ProtocolError"),
    (
        "message in a message",
        [(TEXT, b"", False, 0), (TEXT, b"", True, 0)],
        1002,
        "ProtocolError",
    ),
    ("short close", [(CLOSE, b"\x03", True, 0)], 1002, "ProtocolError"),
    ("reserved close code", [(CLOSE, close_payload(1005), True, 0)], 1002, "ProtocolError"),
    ("wrong reason", [(CLOSE, b"\x03\xe8\xff", True, 0)], 1007, "UnicodeDecodeError"),
    ("too big", [(BINARY, b"x" * 1001, True, 0)], 1009, "PayloadTooBig"),
    (
        "fragments too big",
        [(BINARY, b"x" * 600, False, 0), (CONT, b"x" * 600, True, 0)],
        1009,
        "PayloadTooBig",
    ),
]


@CUTS
@pytest.mark.parametrize(
    ("frames", "code", "exception"), [fault[1:] for fault in FAULTS], ids=[f[0] for f in FAULTS]
)
def test_faults(
    lib: Library, role: str, cut: Any, frames: list[Any], code: int, exception: str
) -> None:
    protocol = opened(lib, role, max_size=1000)
    octets = b"".join(
        incoming(role, opcode, payload, fin=fin, rsv=rsv) for opcode, payload, fin, rsv in frames
    )
    feed(protocol, octets, cut)
    sent, ended = frames_of(protocol.data_to_send(), role)
    ((opcode, payload, _),) = sent
    assert (opcode, payload[:2]) == (CLOSE, close_payload(code))
    assert ended == (role == "server")
    assert protocol.state is lib.State.CLOSING
    assert protocol.close_expected()
    kind = UnicodeDecodeError if exception == "UnicodeDecodeError" else getattr(lib, exception)
    assert isinstance(protocol.parser_exc, kind)
    assert protocol.close_sent.code == code
    protocol.receive_data(incoming(role, TEXT, b"ignored"))
    protocol.receive_eof()
    assert protocol.state is lib.State.CLOSED
    exc = protocol.close_exc
    assert isinstance(exc, lib.ConnectionClosedError)
    assert exc.__cause__ is protocol.parser_exc
    assert exc.sent.code == code


def test_wrong_masking(lib: Library, role: str) -> None:
    protocol = opened(lib, role)
    protocol.receive_data(encode_frame(TEXT, b"hello", mask=role == "client"))
    assert isinstance(protocol.parser_exc, lib.ProtocolError)
    assert protocol.close_sent.code == 1002


def test_too_big_is_seen_in_the_head(lib: Library, role: str) -> None:
    protocol = opened(lib, role, max_size=100)
    protocol.receive_data(incoming(role, BINARY, b"x" * 70_000)[:14])
    assert isinstance(protocol.parser_exc, lib.PayloadTooBig)
    assert protocol.close_sent.code == 1009


@pytest.mark.parametrize("max_size", [None, (None, None), (2000, None), (None, 2000)])
def test_max_size(lib: Library, role: str, max_size: Any) -> None:
    protocol = opened(lib, role, max_size=max_size)
    protocol.receive_data(incoming(role, BINARY, b"x" * 2000))
    assert len(protocol.events_received()) == 1
    assert protocol.parser_exc is None


# Closing.


@CUTS
@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999, None])
def test_receive_close(lib: Library, role: str, cut: Any, code: int | None) -> None:
    protocol = opened(lib, role)
    payload = b"" if code is None else close_payload(code, "why")
    feed(protocol, incoming(role, CLOSE, payload), cut)
    assert protocol.events_received() == [lib.Frame(lib.Opcode.CLOSE, payload)]
    sent, ended = frames_of(protocol.data_to_send(), role)
    assert [frame[0] for frame in sent] == [CLOSE]
    assert sent[0][1][:2] == payload[:2]
    assert ended == (role == "server")
    assert protocol.state is lib.State.CLOSING
    assert protocol.close_expected()
    assert protocol.close_code is None
    assert protocol.close_rcvd_then_sent is True
    protocol.receive_eof()
    assert protocol.data_to_send() == ([b""] if role == "client" else [])
    assert protocol.state is lib.State.CLOSED
    assert not protocol.close_expected()
    assert protocol.close_code == (1005 if code is None else code)
    assert protocol.close_reason == ("" if code is None else "why")
    ok = code in (1000, 1001, None)
    kind = lib.ConnectionClosedOK if ok else lib.ConnectionClosedError
    assert type(protocol.close_exc) is kind


def test_send_close(lib: Library, role: str) -> None:
    protocol = opened(lib, role)
    protocol.send_close(1001, "bye")
    sent, ended = frames_of(protocol.data_to_send(), role)
    assert sent == [(CLOSE, close_payload(1001, "bye"), True)]
    assert not ended
    assert protocol.state is lib.State.CLOSING
    assert protocol.close_expected()
    protocol.receive_data(incoming(role, CLOSE, close_payload(1001, "bye")))
    assert protocol.data_to_send() == ([b""] if role == "server" else [])
    protocol.receive_eof()
    assert protocol.data_to_send() == ([b""] if role == "client" else [])
    exc = protocol.close_exc
    assert isinstance(exc, lib.ConnectionClosedOK)
    assert exc.rcvd_then_sent is False
    assert (exc.rcvd, exc.sent) == (lib.Close(1001, "bye"), lib.Close(1001, "bye"))


def test_send_close_without_code(lib: Library, role: str) -> None:
    protocol = opened(lib, role)
    protocol.send_close()
    assert frames_of(protocol.data_to_send(), role)[0] == [(CLOSE, b"", True)]
    assert protocol.close_sent == lib.Close(1005, "")


@pytest.mark.parametrize(
    "arguments", [(999,), (1005,), (1006,), (1015,), (5000,), (None, "reason"), (1000, "é" * 62)]
)
def test_send_wrong_close(lib: Library, role: str, arguments: tuple[Any, ...]) -> None:
    protocol = opened(lib, role)
    with pytest.raises(lib.ProtocolError):
        protocol.send_close(*arguments)
    assert protocol.data_to_send() == []
    assert protocol.state is lib.State.OPEN


def test_closing_at_once(lib: Library, role: str) -> None:
    protocol = opened(lib, role)
    protocol.send_close(1000, "mine")
    protocol.data_to_send()
    protocol.receive_data(incoming(role, CLOSE, close_payload(1001, "yours")))
    assert frames_of(protocol.data_to_send(), role)[0] == []
    protocol.receive_eof()
    assert (protocol.close_code, protocol.close_reason) == (1001, "yours")
    assert protocol.close_rcvd_then_sent is False


def test_messages_are_received_while_closing(lib: Library, role: str) -> None:
    protocol = opened(lib, role)
    protocol.send_close(1000)
    protocol.receive_data(incoming(role, TEXT, b"crossing"))
    assert protocol.events_received() == [lib.Frame(lib.Opcode.TEXT, b"crossing")]


@CUTS
def test_nothing_is_received_after_a_close_frame(lib: Library, role: str, cut: Any) -> None:
    protocol = opened(lib, role)
    octets = incoming(role, CLOSE, close_payload(1000)) + incoming(role, TEXT, b"late")
    feed(protocol, octets, cut)
    assert [event.opcode for event in protocol.events_received()] == [CLOSE]


def test_end_of_stream(lib: Library, role: str) -> None:
    protocol = opened(lib, role)
    protocol.receive_eof()
    assert protocol.data_to_send() == [b""]
    assert protocol.state is lib.State.CLOSED
    assert protocol.close_code == 1006
    assert protocol.close_reason == ""
    assert isinstance(protocol.parser_exc, EOFError)
    exc = protocol.close_exc
    assert isinstance(exc, lib.ConnectionClosedError)
    assert (exc.rcvd, exc.sent, exc.rcvd_then_sent) == (None, None, None)
    assert exc.__cause__ is protocol.parser_exc


def test_end_of_stream_twice(lib: Library, role: str) -> None:
    protocol = opened(lib, role)
    protocol.receive_eof()
    protocol.data_to_send()
    protocol.receive_eof()
    assert protocol.data_to_send() == []


def test_no_data_after_the_end_of_stream(lib: Library, role: str) -> None:
    protocol = opened(lib, role)
    protocol.receive_eof()
    with pytest.raises(EOFError):
        protocol.receive_data(b"x")


def test_end_of_stream_amid_a_frame(lib: Library, role: str) -> None:
    protocol = opened(lib, role)
    protocol.receive_data(incoming(role, TEXT, b"never complete")[:-1])
    protocol.receive_eof()
    assert protocol.events_received() == []
    assert protocol.state is lib.State.CLOSED
    assert isinstance(protocol.parser_exc, EOFError)


def test_end_of_stream_while_closing(lib: Library, role: str) -> None:
    protocol = opened(lib, role)
    protocol.send_close(1000)
    protocol.data_to_send()
    protocol.receive_eof()
    exc = protocol.close_exc
    assert isinstance(exc, lib.ConnectionClosedError)
    assert exc.sent == lib.Close(1000, "")
    assert exc.rcvd is None


def test_close_exc_needs_the_end(lib: Library, role: str) -> None:
    with pytest.raises(AssertionError):
        _ = opened(lib, role).close_exc


def test_fail(lib: Library, role: str) -> None:
    protocol = opened(lib, role)
    protocol.fail(1011, "out of order")
    sent, ended = frames_of(protocol.data_to_send(), role)
    assert sent == [(CLOSE, close_payload(1011, "out of order"), True)]
    assert ended == (role == "server")
    assert protocol.state is lib.State.CLOSING
    protocol.receive_data(incoming(role, TEXT, b"ignored"))
    assert protocol.events_received() == []
    protocol.receive_eof()
    assert protocol.state is lib.State.CLOSED
    assert protocol.close_exc.sent == lib.Close(1011, "out of order")


def test_fail_without_close_frame(lib: Library, role: str) -> None:
    protocol = opened(lib, role)
    protocol.fail(1006)
    sent, ended = frames_of(protocol.data_to_send(), role)
    assert sent == []
    assert ended == (role == "server")


def test_fail_twice(lib: Library, role: str) -> None:
    protocol = opened(lib, role)
    protocol.fail(1011, "first")
    protocol.data_to_send()
    protocol.fail(1002, "second")
    assert protocol.data_to_send() == []
    assert protocol.close_sent == lib.Close(1011, "first")


def test_fail_with_a_wrong_code(lib: Library, role: str) -> None:
    protocol = opened(lib, role)
    with pytest.raises(lib.ProtocolError):
        protocol.fail(999)


# Attributes.


def test_attributes(lib: Library, role: str) -> None:
    protocol = opened(lib, role)
    assert protocol.side is lib.Side[role.upper()]
    assert protocol.state is lib.State.OPEN
    assert protocol.subprotocol is None
    assert protocol.origin is None
    assert protocol.extensions == []
    assert protocol.close_code is None
    assert protocol.close_reason is None
    assert not protocol.close_expected()
    assert protocol.id != opened(lib, role).id


def test_logger(lib: Library, role: str) -> None:
    logger = logging.getLogger("behaviour.sansio")
    assert opened(lib, role, logger=logger).logger is logger
    assert opened(lib, role).logger.name == f"{lib.name}.{role}"


def test_frames_at_debug(lib: Library, role: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="behaviour.sansio"):
        protocol = opened(lib, role, logger=logging.getLogger("behaviour.sansio"))
        protocol.send_text(b"hello")
        protocol.receive_data(incoming(role, BINARY, b"\x01\x02"))
    messages = [record.getMessage() for record in caplog.records]
    assert "> TEXT 'hello' [5 bytes]" in messages
    assert "< BINARY 01 02 [2 bytes]" in messages


def test_protocol_alone(lib: Library) -> None:
    client = lib.Protocol(lib.Side.CLIENT)
    server = lib.Protocol(lib.Side.SERVER)
    client.send_text(b"hello")
    server.receive_data(b"".join(client.data_to_send()))
    assert server.events_received() == [lib.Frame(lib.Opcode.TEXT, b"hello")]
    server.send_binary(b"\x00")
    client.receive_data(b"".join(server.data_to_send()))
    assert client.events_received() == [lib.Frame(lib.Opcode.BINARY, b"\x00")]


def test_send_eof_sentinel(lib: Library) -> None:
    assert lib.SEND_EOF == b""


def test_extensions_may_be_set(lib: Library) -> None:
    deflate = lib.PerMessageDeflate
    client = opened(lib, "client")
    server = opened(lib, "server")
    client.extensions = [deflate(False, False, 15, 15)]
    server.extensions = [deflate(False, False, 15, 15)]
    message = b"squeeze " * 1000
    for _ in range(2):
        client.send_text(message)
        octets = b"".join(client.data_to_send())
        assert len(octets) < len(message) / 4
        server.receive_data(octets)
        (frame,) = server.events_received()
        assert bytes(frame.data) == message
        assert not frame.rsv1


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_conversation_stays_in_order(lib: Library, opcode: int) -> None:
    client, server = opened(lib, "client"), opened(lib, "server")
    for i in range(100):
        (client.send_text if opcode == TEXT else client.send_binary)(b"%d" % i)
    server.receive_data(b"".join(client.data_to_send()))
    assert [bytes(frame.data) for frame in server.events_received()] == [
        b"%d" % i for i in range(100)
    ]
