"""Decisions of the opening handshake, each check of RFC 6455 section 4 with its own test."""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Sequence

import pytest

from duologue.base.exceptions import (
    InvalidHandshake,
    InvalidHeader,
    InvalidHeaderFormat,
    InvalidHeaderValue,
    InvalidMethod,
    InvalidOrigin,
    InvalidProtocol,
    InvalidStatus,
    InvalidUpgrade,
    NegotiationError,
)
from duologue.base.types import ExtensionName, ExtensionParameter, Origin, Subprotocol
from duologue.protocol.handshake import (
    accept_key,
    build_request,
    check_response,
    generate_key,
    negotiate,
    rejection,
)
from duologue.wire.extension import ClientExtensionFactory, Extension, ServerExtensionFactory
from duologue.wire.frame import Frame
from duologue.wire.headers import Headers
from duologue.wire.http11 import Request, Response
from duologue.wire.uri import parse_uri

# The example of RFC 6455 section 1.3.
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


class Marker(Extension):
    """Does nothing but remember its parameters."""

    def __init__(self, name: str, params: Sequence[ExtensionParameter]) -> None:
        self.name = ExtensionName(name)
        self.params = list(params)

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        return frame

    def encode(self, frame: Frame) -> Frame:
        return frame


class MarkerFactory(ClientExtensionFactory, ServerExtensionFactory):
    """Agrees when the peer's parameters are exactly those wanted."""

    def __init__(self, name: str, wanted: Sequence[ExtensionParameter] = ()) -> None:
        self.name = ExtensionName(name)
        self.wanted = list(wanted)

    def get_request_params(self) -> list[ExtensionParameter]:
        return self.wanted

    def process_response_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> Extension:
        return self._agree(params, accepted_extensions)

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], Extension]:
        extension = self._agree(params, accepted_extensions)
        return [*params, ("accepted", None)], extension

    def _agree(
        self, params: Sequence[ExtensionParameter], accepted: Sequence[Extension]
    ) -> Extension:
        if list(params) != self.wanted:
            raise NegotiationError(f"unexpected parameters {params}")
        if any(extension.name == self.name for extension in accepted):
            raise NegotiationError("only once")
        return Marker(self.name, params)


def request(
    *changes: tuple[str, str | None],
    method: str = "GET",
    protocol: str = "HTTP/1.1",
    path: str = "/",
) -> Request:
    """A valid request; a change replaces a header, or removes it with None; repeats add lines."""
    headers = Headers(
        [
            ("Host", "example.com"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", KEY),
            ("Sec-WebSocket-Version", "13"),
        ]
    )
    change(headers, changes)
    return Request(path, headers, method, protocol)


def response(*changes: tuple[str, str | None], status: int = 101) -> Response:
    headers = Headers(
        [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", ACCEPT),
        ]
    )
    change(headers, changes)
    return Response(status, "Whatever", headers)


def change(headers: Headers, changes: Sequence[tuple[str, str | None]]) -> None:
    for name, _ in changes:
        if name in headers:
            del headers[name]
    for name, value in changes:
        if value is not None:
            headers[name] = value


# Keys


def test_accept_key_of_the_rfc() -> None:
    assert accept_key(KEY) == ACCEPT


def test_generated_keys_are_16_fresh_octets() -> None:
    keys = {generate_key() for _ in range(50)}
    assert len(keys) == 50
    assert all(len(base64.b64decode(key, validate=True)) == 16 for key in keys)


# Server


def test_valid_request() -> None:
    agreed = negotiate(request())
    names = [name for name, _ in agreed.headers.raw_items()]
    assert names == ["Date", "Upgrade", "Connection", "Sec-WebSocket-Accept"]
    assert agreed.headers["Upgrade"] == "websocket"
    assert agreed.headers["Connection"] == "Upgrade"
    assert agreed.headers["Sec-WebSocket-Accept"] == ACCEPT
    assert (agreed.extensions, agreed.subprotocol, agreed.origin) == ([], None, None)


@pytest.mark.parametrize(
    "changes",
    [
        [("Upgrade", "WebSocket"), ("Connection", "UPGRADE")],
        [("Connection", "keep-alive, Upgrade")],
        [("Connection", "keep-alive"), ("Connection", "upgrade")],
        [("Connection", ",, ,Upgrade,")],
        [("Upgrade", "h2c, websocket")],
        [("Upgrade", "h2c"), ("Upgrade", "WEBSOCKET")],
        [("Content-Length", "0")],
    ],
)
def test_acceptable_variations(changes: list[tuple[str, str | None]]) -> None:
    assert negotiate(request(*changes)).headers["Sec-WebSocket-Accept"] == ACCEPT


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "CONNECT", "get"])
def test_other_methods(method: str) -> None:
    with pytest.raises(InvalidMethod) as raised:
        negotiate(request(method=method))
    answer = rejection(raised.value)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")


@pytest.mark.parametrize("protocol", ["HTTP/1.0", "HTTP/2.0"])
def test_other_http_versions(protocol: str) -> None:
    with pytest.raises(InvalidProtocol) as raised:
        negotiate(request(protocol=protocol))
    assert rejection(raised.value).status_code == 505


@pytest.mark.parametrize(
    ("name", "value", "exc_type", "status"),
    [
        ("Connection", None, InvalidUpgrade, 426),
        ("Connection", "close", InvalidUpgrade, 426),
        ("Connection", "Upgraded", InvalidUpgrade, 426),
        ("Connection", "???", InvalidHeaderFormat, 400),
        ("Upgrade", None, InvalidUpgrade, 426),
        ("Upgrade", "h2c", InvalidUpgrade, 426),
        ("Upgrade", "websocket2", InvalidUpgrade, 426),
        ("Upgrade", "@@", InvalidHeaderFormat, 400),
        ("Host", None, InvalidHeader, 400),
        ("Sec-WebSocket-Key", None, InvalidHeader, 400),
        ("Sec-WebSocket-Key", "", InvalidHeaderValue, 400),
        ("Sec-WebSocket-Key", "not base64 at all, 24 ch", InvalidHeaderValue, 400),
        ("Sec-WebSocket-Key", "éGhlIHNhbXBsZSBub25jZQ==", InvalidHeaderValue, 400),
        ("Sec-WebSocket-Key", KEY + "====", InvalidHeaderValue, 400),
        ("Sec-WebSocket-Key", base64.b64encode(bytes(15)).decode(), InvalidHeaderValue, 400),
        ("Sec-WebSocket-Key", base64.b64encode(bytes(17)).decode(), InvalidHeaderValue, 400),
        ("Sec-WebSocket-Key", base64.b64encode(bytes(18)).decode(), InvalidHeaderValue, 400),
        ("Sec-WebSocket-Version", None, InvalidHeader, 400),
        ("Sec-WebSocket-Version", "8", InvalidHeaderValue, 426),
        ("Sec-WebSocket-Version", "14", InvalidHeaderValue, 426),
        ("Sec-WebSocket-Version", "013", InvalidHeaderValue, 426),
        ("Sec-WebSocket-Version", "13, 8", InvalidHeaderValue, 426),
        ("Transfer-Encoding", "chunked", InvalidHeader, 400),
        ("Content-Length", "5", InvalidHeader, 400),
    ],
)
def test_faulty_requests(
    name: str, value: str | None, exc_type: type[InvalidHandshake], status: int
) -> None:
    with pytest.raises(exc_type) as raised:
        negotiate(request((name, value)))
    assert type(raised.value) is exc_type
    answer = rejection(raised.value)
    assert answer.status_code == status
    assert name in bytes(answer.body).decode()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Sec-WebSocket-Key", KEY),
        ("Sec-WebSocket-Version", "13"),
        ("Host", "example.com"),
        ("Origin", "http://example.com"),
    ],
)
def test_repeated_headers(name: str, value: str) -> None:
    with pytest.raises(InvalidHeader, match=f"invalid {name} header: multiple values"):
        negotiate(request((name, value), (name, value)))


def test_another_version_wins_over_a_key_that_version_may_not_need() -> None:
    with pytest.raises(InvalidHeaderValue) as raised:
        negotiate(request(("Sec-WebSocket-Version", "99"), ("Sec-WebSocket-Key", None)))
    answer = rejection(raised.value)
    assert answer.status_code == 426
    assert answer.headers["Sec-WebSocket-Version"] == "13"


ORIGIN = Origin("http://example.com")
PATTERN = re.compile(r"https?://([a-z]+\.)?example\.com")


@pytest.mark.parametrize(
    ("origins", "value", "accepted"),
    [
        (None, "http://other.example", True),
        (None, None, True),
        ([ORIGIN], "http://example.com", True),
        ([ORIGIN], "http://EXAMPLE.com", False),
        ([ORIGIN], "http://example.com.evil.example", False),
        ([ORIGIN], None, False),
        ([ORIGIN, None], None, True),
        ([None], "null", False),
        ([PATTERN], "https://a.example.com", True),
        ([PATTERN], "https://a.example.com:8000", False),
        ([PATTERN], None, False),
        ([], "http://example.com", False),
        ([], None, False),
    ],
)
def test_origins(
    origins: list[Origin | re.Pattern[str] | None] | None, value: str | None, accepted: bool
) -> None:
    asked = request(("Origin", value))
    if accepted:
        assert negotiate(asked, origins=origins).origin == value
    else:
        with pytest.raises(InvalidOrigin) as raised:
            negotiate(asked, origins=origins)
        assert rejection(raised.value).status_code == 403


CHAT, SUPERCHAT = Subprotocol("chat"), Subprotocol("superchat")


@pytest.mark.parametrize(
    ("offers", "available", "chosen"),
    [
        ([], None, None),
        (["chat"], None, None),
        (["chat"], [], None),
        (["chat"], [CHAT], CHAT),
        (["superchat, chat"], [CHAT, SUPERCHAT], CHAT),
        (["superchat", "chat"], [CHAT, SUPERCHAT], CHAT),
        (["other, superchat"], [CHAT, SUPERCHAT], SUPERCHAT),
    ],
)
def test_subprotocols(
    offers: list[str], available: list[Subprotocol] | None, chosen: Subprotocol | None
) -> None:
    asked = request(*[("Sec-WebSocket-Protocol", offer) for offer in offers])
    agreed = negotiate(asked, subprotocols=available)
    assert agreed.subprotocol == chosen
    assert agreed.headers.get("Sec-WebSocket-Protocol") == chosen


@pytest.mark.parametrize(
    ("offer", "available", "message"),
    [
        (None, [CHAT], "missing subprotocol; this server needs chat"),
        ("Chat", [CHAT], "Chat offered, this server needs chat"),
        ("other", [CHAT, SUPERCHAT], "this server needs one of chat, superchat"),
    ],
)
def test_no_common_subprotocol(
    offer: str | None, available: list[Subprotocol], message: str
) -> None:
    with pytest.raises(NegotiationError, match=message) as raised:
        negotiate(request(("Sec-WebSocket-Protocol", offer)), subprotocols=available)
    assert rejection(raised.value).status_code == 400


def test_malformed_subprotocol() -> None:
    with pytest.raises(InvalidHeaderFormat):
        negotiate(request(("Sec-WebSocket-Protocol", "chat;q=1")), subprotocols=[CHAT])


def test_select_subprotocol_sees_the_offer_and_decides() -> None:
    seen: list[Sequence[Subprotocol]] = []

    def select(offered: Sequence[Subprotocol]) -> Subprotocol | None:
        seen.append(offered)
        return offered[-1] if offered else None

    asked = request(("Sec-WebSocket-Protocol", "chat, superchat"))
    assert negotiate(asked, subprotocols=[CHAT], select_subprotocol=select).subprotocol == SUPERCHAT
    assert negotiate(request(), select_subprotocol=select).subprotocol is None
    assert seen == [[CHAT, SUPERCHAT], []]


def test_select_subprotocol_must_choose_from_the_offer() -> None:
    with pytest.raises(ValueError, match=r"chose 'superchat'.*offered chat$"):
        negotiate(
            request(("Sec-WebSocket-Protocol", "chat")),
            select_subprotocol=lambda offered: SUPERCHAT,
        )


def test_extensions_keep_the_order_of_the_client() -> None:
    available = [MarkerFactory("x-a"), MarkerFactory("x-b", [("level", "1")])]
    asked = request(
        ("Sec-WebSocket-Extensions", "x-b; level=1, x-unknown"),
        ("Sec-WebSocket-Extensions", "x-a"),
    )
    agreed = negotiate(asked, extensions=available)
    assert [extension.name for extension in agreed.extensions] == ["x-b", "x-a"]
    header = agreed.headers["Sec-WebSocket-Extensions"]
    assert header == "x-b; level=1; accepted, x-a; accepted"


def test_declined_extensions_are_not_mentioned() -> None:
    asked = request(("Sec-WebSocket-Extensions", "x-a; level=2, x-unknown"))
    agreed = negotiate(asked, extensions=[MarkerFactory("x-a")])
    assert agreed.extensions == []
    assert "Sec-WebSocket-Extensions" not in agreed.headers


def test_the_first_acceptable_offer_of_an_extension_is_taken() -> None:
    asked = request(("Sec-WebSocket-Extensions", "x-a; level=2, x-a; level=1, x-a; level=1"))
    agreed = negotiate(asked, extensions=[MarkerFactory("x-a", [("level", "1")])])
    assert agreed.headers["Sec-WebSocket-Extensions"] == "x-a; level=1; accepted"
    assert len(agreed.extensions) == 1


def test_extensions_need_configuration() -> None:
    asked = request(("Sec-WebSocket-Extensions", "x-a"))
    assert "Sec-WebSocket-Extensions" not in negotiate(asked).headers


def test_malformed_extensions() -> None:
    with pytest.raises(InvalidHeaderFormat):
        negotiate(request(("Sec-WebSocket-Extensions", "x-a;=")), extensions=[MarkerFactory("x-a")])


# Client


def test_minimal_request() -> None:
    built = build_request(parse_uri("ws://example.com/chat?x=1"), key=KEY)
    assert (built.method, built.path, built.protocol) == ("GET", "/chat?x=1", "HTTP/1.1")
    assert list(built.headers.raw_items()) == [
        ("Host", "example.com"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", KEY),
        ("Sec-WebSocket-Version", "13"),
    ]


@pytest.mark.parametrize(
    ("uri", "host"),
    [
        ("ws://example.com:80/", "example.com"),
        ("ws://example.com:443/", "example.com:443"),
        ("wss://example.com:443/", "example.com"),
        ("wss://example.com:80/", "example.com:80"),
        ("ws://[::1]:9000/", "[::1]:9000"),
    ],
)
def test_host_header(uri: str, host: str) -> None:
    assert build_request(parse_uri(uri), key=KEY).headers["Host"] == host


def test_request_with_everything() -> None:
    built = build_request(
        parse_uri("wss://user:p%40ss@example.com/"),
        key=KEY,
        origin=ORIGIN,
        extensions=[MarkerFactory("x-a", [("level", "1")]), MarkerFactory("x-b")],
        subprotocols=[CHAT, SUPERCHAT],
        additional_headers={"X-Token": "1"},
        user_agent="test",
    )
    assert built.headers["Authorization"] == "Basic " + base64.b64encode(b"user:p@ss").decode()
    assert built.headers["Origin"] == "http://example.com"
    assert built.headers["Sec-WebSocket-Extensions"] == "x-a; level=1, x-b"
    assert built.headers["Sec-WebSocket-Protocol"] == "chat, superchat"
    assert built.headers["X-Token"] == "1"
    assert built.headers["User-Agent"] == "test"


def test_empty_offers_make_no_headers() -> None:
    headers = build_request(parse_uri("ws://h/"), key=KEY, extensions=[], subprotocols=[]).headers
    assert not any(name.startswith("sec-websocket-") and name.endswith("s") for name in headers)
    assert "Sec-WebSocket-Protocol" not in headers


def test_additional_headers_replace_what_can_occur_only_once() -> None:
    built = build_request(
        parse_uri("ws://user:pass@example.com/"),
        key=KEY,
        origin=ORIGIN,
        additional_headers=[
            ("host", "virtual.example"),
            ("Origin", "http://other.example"),
            ("Authorization", "Bearer x"),
            ("Cookie", "a=1"),
            ("User-Agent", "mine"),
        ],
        user_agent="default",
    )
    assert built.headers["Host"] == "virtual.example"
    assert built.headers["Origin"] == "http://other.example"
    assert built.headers["Authorization"] == "Bearer x"
    assert built.headers["Cookie"] == "a=1"
    assert built.headers["User-Agent"] == "mine"


@pytest.mark.parametrize("name", ["Origin", "X-Injected"])
def test_headers_cannot_be_split(name: str) -> None:
    with pytest.raises(InvalidHeaderValue):
        build_request(parse_uri("ws://h/"), key=KEY, additional_headers={name: "x\r\nEvil: 1"})


@pytest.mark.parametrize(
    "changes",
    [
        [],
        [("Upgrade", "WebSocket"), ("Connection", "upgrade")],
        [("Connection", "keep-alive, Upgrade")],
        [("Connection", "keep-alive"), ("Connection", "Upgrade")],
    ],
)
def test_valid_responses(changes: list[tuple[str, str | None]]) -> None:
    agreed = check_response(response(*changes), key=KEY)
    assert (agreed.extensions, agreed.subprotocol) == ([], None)


@pytest.mark.parametrize("status", [200, 301, 302, 400, 401, 403, 404, 426, 500, 503])
def test_other_statuses(status: int) -> None:
    answer = response(status=status)
    with pytest.raises(InvalidStatus) as raised:
        check_response(answer, key=KEY)
    assert raised.value.response is answer


@pytest.mark.parametrize(
    ("changes", "exc_type"),
    [
        ([("Upgrade", None)], InvalidUpgrade),
        ([("Upgrade", "h2c")], InvalidUpgrade),
        ([("Upgrade", "websocket, h2c")], InvalidUpgrade),
        ([("Upgrade", "websocket"), ("Upgrade", "websocket")], InvalidUpgrade),
        ([("Connection", None)], InvalidUpgrade),
        ([("Connection", "close")], InvalidUpgrade),
        ([("Sec-WebSocket-Accept", None)], InvalidHeader),
        ([("Sec-WebSocket-Accept", KEY)], InvalidHeaderValue),
        ([("Sec-WebSocket-Accept", ACCEPT.lower())], InvalidHeaderValue),
        ([("Sec-WebSocket-Accept", ACCEPT), ("Sec-WebSocket-Accept", ACCEPT)], InvalidHeader),
        ([("Sec-WebSocket-Protocol", "chat")], NegotiationError),
        ([("Sec-WebSocket-Extensions", "x-a")], NegotiationError),
    ],
)
def test_faulty_responses(
    changes: list[tuple[str, str | None]], exc_type: type[InvalidHandshake]
) -> None:
    with pytest.raises(exc_type) as raised:
        check_response(response(*changes), key=KEY)
    assert type(raised.value) is exc_type


def test_accept_belongs_to_the_key() -> None:
    with pytest.raises(InvalidHeaderValue):
        check_response(response(), key=generate_key())


def test_agreed_subprotocol() -> None:
    answer = response(("Sec-WebSocket-Protocol", "chat"))
    assert check_response(answer, key=KEY, subprotocols=[SUPERCHAT, CHAT]).subprotocol == "chat"


@pytest.mark.parametrize(
    ("lines", "exc_type"),
    [
        (["other"], NegotiationError),
        (["Chat"], NegotiationError),
        (["chat, superchat"], InvalidHeader),
        (["chat", "superchat"], InvalidHeader),
        (["chat", "chat"], InvalidHeader),
    ],
)
def test_unacceptable_subprotocols(lines: list[str], exc_type: type[InvalidHandshake]) -> None:
    answer = response(*[("Sec-WebSocket-Protocol", line) for line in lines])
    with pytest.raises(exc_type):
        check_response(answer, key=KEY, subprotocols=[CHAT, SUPERCHAT])


def test_a_missing_choice_matters_to_browsers_only() -> None:
    assert check_response(response(), key=KEY, subprotocols=[CHAT]).subprotocol is None
    with pytest.raises(NegotiationError, match="chose no subprotocol; offered chat"):
        check_response(response(), key=KEY, subprotocols=[CHAT], require_subprotocol=True)
    assert check_response(response(), key=KEY, require_subprotocol=True).subprotocol is None


def test_agreed_extensions() -> None:
    available = [MarkerFactory("x-a"), MarkerFactory("x-b", [("level", "1")])]
    answer = response(
        ("Sec-WebSocket-Extensions", "x-b; level=1"), ("Sec-WebSocket-Extensions", "x-a")
    )
    agreed = check_response(answer, key=KEY, extensions=available)
    assert [extension.name for extension in agreed.extensions] == ["x-b", "x-a"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("x-other", "not offered: x-other"),
        ("x-a; level=2", "isn't acceptable: x-a; level=2"),
        ("x-a, x-a", "isn't acceptable: x-a"),
    ],
)
def test_unacceptable_extensions(value: str, message: str) -> None:
    answer = response(("Sec-WebSocket-Extensions", value))
    with pytest.raises(NegotiationError, match=message):
        check_response(answer, key=KEY, extensions=[MarkerFactory("x-a")])


def test_results_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        negotiate(request()).subprotocol = CHAT  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        check_response(response(), key=KEY).subprotocol = CHAT  # type: ignore[misc]
