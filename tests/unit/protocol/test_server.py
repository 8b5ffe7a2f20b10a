"""The sans-I/O server: what it answers, what it leaves behind, when it opens."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Iterator, Sequence

import pytest

from duologue.base.exceptions import (
    HeaderLineTooLong,
    InvalidHandshake,
    InvalidHeader,
    InvalidHeaderValue,
    InvalidMessage,
    InvalidMethod,
    InvalidOrigin,
    InvalidProtocol,
    InvalidState,
    InvalidUpgrade,
    NegotiationError,
    RequestLineTooLong,
    SecurityError,
    TooManyHeaders,
)
from duologue.base.limits import DEFAULT_LIMITS
from duologue.base.types import Origin, Subprotocol
from duologue.base.vocabulary import Opcode, Side, State
from duologue.protocol.server import ServerProtocol
from duologue.wire.frame import Frame
from duologue.wire.headers import Headers
from duologue.wire.http11 import Request, Response, ResponseParser
from duologue.wire.permessage_deflate import ServerPerMessageDeflateFactory

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
UPGRADE = (
    "Host: example.com",
    "Upgrade: websocket",
    "Connection: Upgrade",
    f"Sec-WebSocket-Key: {KEY}",
    "Sec-WebSocket-Version: 13",
)
# "Hello", masked, from RFC 6455 section 5.7.
HELLO = bytes.fromhex("8185 37fa213d 7f9f4d5158")


def octets(
    *extra: str,
    method: str = "GET",
    path: str = "/",
    protocol: str = "HTTP/1.1",
    without: str = "",
) -> bytes:
    lines = [line for line in UPGRADE if not without or not line.startswith(without)]
    return "\r\n".join([f"{method} {path} {protocol}", *lines, *extra, "", ""]).encode("latin-1")


def splits(data: bytes) -> Iterator[list[bytes]]:
    yield [data]
    yield [data[index : index + 1] for index in range(len(data))]
    for index in range(1, len(data)):
        yield [data[:index], data[index:]]


def take_request(server: ServerProtocol) -> Request:
    (request,) = server.events_received()
    assert isinstance(request, Request)
    return request


def answer(data: bytes, server: ServerProtocol | None = None) -> tuple[Response, ServerProtocol]:
    """Feed a request, accept it, and parse what goes back."""
    server = server or ServerProtocol()
    server.receive_data(data)
    events = server.events_received()
    if events:
        (request,) = events
        assert isinstance(request, Request)
        server.send_response(server.accept(request))
    return sent(server), server


def sent(server: ServerProtocol) -> Response:
    pieces = server.data_to_send()
    parser = ResponseParser()
    response = parser.feed(b"".join(pieces))
    assert response is not None
    assert parser.rest == b""
    assert (pieces[-1] == b"") == (response.status_code != 101)
    return response


def test_opening() -> None:
    server = ServerProtocol()
    assert (server.side, server.state) == (Side.SERVER, State.CONNECTING)
    server.receive_data(octets(path="/chat?x=1"))
    request = take_request(server)
    assert (request.method, request.path) == ("GET", "/chat?x=1")
    assert server.data_to_send() == []
    response = server.accept(request)
    response.headers["X-Added"] = "later"
    assert server.state is State.CONNECTING
    server.send_response(response)
    assert server.state is State.OPEN
    assert server.handshake_exc is None
    assert not server.close_expected()
    answered = sent(server)
    assert answered.status_code == 101
    assert answered.headers["Sec-WebSocket-Accept"] == ACCEPT
    assert answered.headers["X-Added"] == "later"


def test_opening_does_not_depend_on_how_octets_were_split() -> None:
    for pieces in splits(octets(path="/chat") + HELLO):
        server = ServerProtocol()
        frames: list[Frame] = []
        for piece in pieces:
            server.receive_data(piece)
            for event in server.events_received():
                if isinstance(event, Request):
                    assert event.path == "/chat"
                    server.send_response(server.accept(event))
                else:
                    assert isinstance(event, Frame)
                    frames.append(event)
        # What was read on from send_response comes with the next call.
        frames += [event for event in server.events_received() if isinstance(event, Frame)]
        assert [(frame.opcode, frame.data) for frame in frames] == [(Opcode.TEXT, b"Hello")]


def test_nothing_is_read_as_frames_before_the_answer() -> None:
    server = ServerProtocol()
    server.receive_data(octets() + HELLO)
    server.receive_data(HELLO)
    request = take_request(server)
    server.send_response(server.accept(request))
    frames = server.events_received()
    assert [frame.data for frame in frames if isinstance(frame, Frame)] == [b"Hello"] * 2


def test_early_octets_are_bounded() -> None:
    limits = dataclasses.replace(DEFAULT_LIMITS, max_head=300)
    server = ServerProtocol(limits=limits)
    server.receive_data(octets())
    server.receive_data(bytes(300))
    request = take_request(server)
    assert server.accept(request).status_code == 101
    server = ServerProtocol(limits=limits)
    server.receive_data(octets())
    server.receive_data(bytes(301))
    server.receive_data(bytes(10_000))
    response = server.accept(take_request(server))
    assert response.status_code == 431
    assert isinstance(server.handshake_exc, SecurityError)
    assert "sent 301 bytes" in str(server.handshake_exc) and "max_head" in str(server.handshake_exc)


@pytest.mark.parametrize(
    ("data", "exc_type", "status", "headers"),
    [
        (octets(method="POST"), InvalidMethod, 405, {"Allow": "GET"}),
        (octets("Content-Length: 3", method="POST") + b"abc", InvalidMethod, 405, {}),
        (octets(protocol="HTTP/1.0"), InvalidProtocol, 505, {}),
        (octets(protocol="HTTP/2.0"), InvalidProtocol, 505, {}),
        (octets("Upgrade: h2c", without="Upgrade"), InvalidUpgrade, 426, {"Upgrade": "websocket"}),
        (octets(without="Upgrade"), InvalidUpgrade, 426, {"Upgrade": "websocket"}),
        (octets(without="Connection"), InvalidUpgrade, 426, {"Upgrade": "websocket"}),
        (
            octets("Sec-WebSocket-Version: 8", without="Sec-WebSocket-Version"),
            InvalidHeaderValue,
            426,
            {"Sec-WebSocket-Version": "13"},
        ),
        (octets(without="Sec-WebSocket-Key"), InvalidHeader, 400, {}),
        (
            octets("Sec-WebSocket-Key: AQIDBA==", without="Sec-WebSocket-Key"),
            InvalidHeaderValue,
            400,
            {},
        ),
        (octets("Content-Length: 3") + b"abc", InvalidHeader, 400, {}),
    ],
)
def test_refused_handshakes(
    data: bytes, exc_type: type[InvalidHandshake], status: int, headers: dict[str, str]
) -> None:
    response, server = answer(data)
    assert response.status_code == status
    assert "close" in response.headers["Connection"]
    for name, value in headers.items():
        assert response.headers[name] == value
    assert isinstance(server.handshake_exc, exc_type)
    assert str(server.handshake_exc) in bytes(response.body).decode()
    assert server.close_expected()
    server.receive_data(HELLO)
    assert server.events_received() == []
    reason = server.handshake_exc
    server.receive_eof()
    assert server.handshake_exc is reason
    assert server.state is State.CLOSED
    assert server.data_to_send() == []


@pytest.mark.parametrize(
    ("data", "exc_type", "status"),
    [
        (b"hello\r\n\r\n", InvalidMessage, 400),
        (octets(without="Host"), InvalidMessage, 400),
        (octets("Host: other.example"), InvalidMessage, 400),
        (octets("X-Folded: a", " b"), InvalidMessage, 400),
        (octets("X-Nul: \0"), InvalidMessage, 400),
        (octets().replace(b"\r\n", b"\n"), InvalidMessage, 400),
        (octets("Content-Length: 0", "Transfer-Encoding: chunked"), InvalidMessage, 400),
        (octets("Transfer-Encoding: gzip"), InvalidMessage, 501),
        (octets(path="/" + "a" * 8192), RequestLineTooLong, 414),
        (octets("X-Long: " + "a" * 8192), HeaderLineTooLong, 431),
        (octets(*[f"X-{number}: x" for number in range(96)]), TooManyHeaders, 431),
        (octets(*[f"X-{number}: {'a' * 8000}" for number in range(5)]), SecurityError, 431),
    ],
)
def test_malformed_requests_are_answered(
    data: bytes, exc_type: type[InvalidHandshake], status: int
) -> None:
    response, server = answer(data)
    assert response.status_code == status
    assert isinstance(server.handshake_exc, exc_type)
    assert b"Request refused: " in response.body
    assert server.close_expected()
    assert not server.accept_called


def test_obs_text_is_kept() -> None:
    server = ServerProtocol()
    server.receive_data(octets("X-Name: caf\xe9"))
    assert take_request(server).headers["X-Name"] == "caf\xe9"


def test_limits_are_those_given() -> None:
    limits = dataclasses.replace(DEFAULT_LIMITS, max_headers=5)
    assert answer(octets(), ServerProtocol(limits=limits))[0].status_code == 101
    assert answer(octets("X: 1"), ServerProtocol(limits=limits))[0].status_code == 431


@pytest.mark.parametrize("data", [b"", b"GET / HT", octets()[:-2]])
def test_end_of_stream_before_the_request(data: bytes) -> None:
    server = ServerProtocol()
    server.receive_data(data)
    server.receive_eof()
    assert isinstance(server.handshake_exc, InvalidMessage)
    assert isinstance(server.handshake_exc.__cause__, EOFError)
    assert server.data_to_send() == [b""]
    assert server.state is State.CLOSED


def test_end_of_stream_before_the_answer() -> None:
    server = ServerProtocol()
    server.receive_data(octets())
    request = take_request(server)
    server.receive_eof()
    assert isinstance(server.handshake_exc, InvalidMessage)
    response = server.accept(request)
    with pytest.raises(InvalidState):
        server.send_response(response)


def test_only_one_answer() -> None:
    response, server = answer(octets())
    with pytest.raises(InvalidState):
        server.send_response(response)
    response, server = answer(octets(method="POST"))
    with pytest.raises(InvalidState):
        server.send_response(response)


def test_a_response_that_cannot_be_sent_leaves_the_choice_of_another() -> None:
    server = ServerProtocol()
    server.receive_data(octets())
    with pytest.raises(ValueError):
        server.send_response(Response(200, "split\r\nhere", Headers()))
    server.send_response(server.accept(take_request(server)))
    assert server.state is State.OPEN


def test_reject() -> None:
    server = ServerProtocol()
    server.receive_data(octets())
    server.send_response(server.reject(404, "nothing here\n"))
    response = sent(server)
    assert (response.status_code, response.body) == (404, b"nothing here\n")
    assert server.handshake_exc is None
    with pytest.raises(ValueError):
        server.reject(799, "")


def test_state_open_skips_the_handshake() -> None:
    server = ServerProtocol(state=State.OPEN)
    server.receive_data(HELLO)
    assert server.events_received() == [Frame(Opcode.TEXT, b"Hello")]


def test_origins() -> None:
    origins = [Origin("http://a.example"), re.compile(r"http://[bc]\.example"), None]
    for origin, status in [
        ("http://a.example", 101),
        ("http://c.example", 101),
        ("http://d.example", 403),
        (None, 101),
    ]:
        extra = [] if origin is None else [f"Origin: {origin}"]
        response, server = answer(octets(*extra), ServerProtocol(origins=origins))
        assert response.status_code == status
        if status == 101:
            assert server.origin == origin
        else:
            assert isinstance(server.handshake_exc, InvalidOrigin)
    assert answer(octets("Origin: http://d.example"))[0].status_code == 101


def test_subprotocols() -> None:
    available = [Subprotocol("v2"), Subprotocol("v1")]
    offer = octets("Sec-WebSocket-Protocol: v1, v2")
    response, server = answer(offer, ServerProtocol(subprotocols=available))
    assert response.headers["Sec-WebSocket-Protocol"] == server.subprotocol == "v2"
    response, server = answer(offer)
    assert "Sec-WebSocket-Protocol" not in response.headers
    assert server.subprotocol is None
    response, server = answer(octets(), ServerProtocol(subprotocols=available))
    assert response.status_code == 400
    assert isinstance(server.handshake_exc, NegotiationError)


def test_select_subprotocol_gets_the_protocol_and_the_offer() -> None:
    seen = []

    def select(protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        seen.append((protocol, list(offered)))
        return offered[-1] if offered else None

    server = ServerProtocol(subprotocols=[Subprotocol("v1")], select_subprotocol=select)
    response, _ = answer(octets("Sec-WebSocket-Protocol: v1, v2"), server)
    assert response.headers["Sec-WebSocket-Protocol"] == "v2"
    assert seen == [(server, ["v1", "v2"])]
    response, _ = answer(octets(), ServerProtocol(select_subprotocol=select))
    assert response.status_code == 101


def test_methods_can_be_overridden() -> None:
    class Picky(ServerProtocol):
        def process_subprotocol(self, headers: Headers) -> Subprotocol | None:
            raise NegotiationError("not today")

    response, server = answer(octets(), Picky())
    assert response.status_code == 400
    assert b"not today" in response.body

    class Choosy(ServerProtocol):
        def select_subprotocol(self, subprotocols: Sequence[Subprotocol]) -> Subprotocol | None:
            return subprotocols[0]

    response, server = answer(octets("Sec-WebSocket-Protocol: v1, v2"), Choosy())
    assert server.subprotocol == "v1"


def test_faults_of_the_application_are_logged_and_not_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def select(protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        raise ZeroDivisionError("secret")

    response, server = answer(octets(), ServerProtocol(select_subprotocol=select))
    assert response.status_code == 500
    assert b"secret" not in response.body
    assert isinstance(server.handshake_exc, ZeroDivisionError)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1 and errors[0].exc_info is not None


def test_a_selection_nobody_offered_is_a_fault_of_the_application() -> None:
    server = ServerProtocol(select_subprotocol=lambda protocol, offered: Subprotocol("v9"))
    response, _ = answer(octets("Sec-WebSocket-Protocol: v1"), server)
    assert response.status_code == 500
    assert isinstance(server.handshake_exc, ValueError)


def test_extensions() -> None:
    server = ServerProtocol(extensions=[ServerPerMessageDeflateFactory()])
    response, _ = answer(octets("Sec-WebSocket-Extensions: x-odd, permessage-deflate"), server)
    assert response.headers["Sec-WebSocket-Extensions"].startswith("permessage-deflate")
    assert [extension.name for extension in server.extensions] == ["permessage-deflate"]
    response, server = answer(octets("Sec-WebSocket-Extensions: permessage-deflate"))
    assert "Sec-WebSocket-Extensions" not in response.headers
    assert server.extensions == []


def test_max_size() -> None:
    _, server = answer(octets(), ServerProtocol(max_size=4))
    server.receive_data(HELLO)
    assert server.close_sent is not None and server.close_sent.code == 1009
    _, server = answer(octets(), ServerProtocol(max_size=(None, 4)))
    server.receive_data(HELLO)
    assert server.close_sent is not None and server.close_sent.code == 1009


@pytest.mark.parametrize("data", [octets(), octets(method="POST")])
def test_logging(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("test.server")
    with caplog.at_level(logging.DEBUG, "test.server"):
        response, _ = answer(data, ServerProtocol(logger=logger))
    lines = [record.getMessage() for record in caplog.records]
    assert any(line.startswith("< Host: example.com") for line in lines)
    assert any(line.startswith(f"> HTTP/1.1 {response.status_code}") for line in lines)
    infos = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    opened, refused = "connection open", "connection rejected (405 Method Not Allowed)"
    assert infos == [opened if response.status_code == 101 else refused]
