"""Values that programs meet: frames, close payloads, headers, requests, responses, URIs."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from .library import Library

# Frames.


def test_frame(lib: Library) -> None:
    frame = lib.Frame(lib.Opcode.TEXT, b"hello")
    assert (frame.opcode, frame.data, frame.fin) == (lib.Opcode.TEXT, b"hello", True)
    assert (frame.rsv1, frame.rsv2, frame.rsv3) == (False, False, False)
    assert frame == lib.Frame(lib.Opcode.TEXT, b"hello")
    assert frame != lib.Frame(lib.Opcode.BINARY, b"hello")
    assert frame != lib.Frame(lib.Opcode.TEXT, b"hello", fin=False)


@pytest.mark.parametrize(
    ("opcode", "data", "fin", "octets"),
    [
        ("TEXT", b"", True, b"\x81\x00"),
        ("TEXT", b"Spam", True, b"\x81\x04Spam"),
        ("TEXT", b"Spam", False, b"\x01\x04Spam"),
        ("CONT", b"Spam", True, b"\x80\x04Spam"),
        ("BINARY", b"x" * 126, True, b"\x82\x7e\x00\x7e" + b"x" * 126),
        ("BINARY", b"x" * 65536, True, b"\x82\x7f" + (65536).to_bytes(8, "big") + b"x" * 65536),
        ("CLOSE", b"", True, b"\x88\x00"),
        ("PING", b"ping", True, b"\x89\x04ping"),
        ("PONG", b"pong", True, b"\x8a\x04pong"),
    ],
)
def test_serialize(lib: Library, opcode: str, data: bytes, fin: bool, octets: bytes) -> None:
    frame = lib.Frame(lib.Opcode[opcode], data, fin)
    assert frame.serialize(mask=False) == octets
    masked = frame.serialize(mask=True)
    assert len(masked) == len(octets) + 4
    assert masked[1] == octets[1] | 0x80


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("PING", b"x" * 126), {}),
        (("PING", b"", False), {}),
        (("TEXT", b""), {"rsv1": True}),
        (("TEXT", b""), {"rsv2": True}),
        (("TEXT", b""), {"rsv3": True}),
    ],
)
def test_wrong_frames(lib: Library, arguments: Any, options: Any) -> None:
    frame = lib.Frame(lib.Opcode[arguments[0]], *arguments[1:], **options)
    with pytest.raises(lib.ProtocolError):
        frame.check()
    with pytest.raises(lib.ProtocolError):
        frame.serialize(mask=False)


@pytest.mark.parametrize(
    ("opcode", "data", "fin", "text"),
    [
        ("TEXT", b"Spam", True, "TEXT 'Spam' [4 bytes]"),
        ("TEXT", b"S", True, "TEXT 'S' [1 byte]"),
        ("TEXT", "é€".encode(), True, "TEXT 'é€' [5 bytes]"),
        ("TEXT", b"", True, "TEXT '' [0 bytes]"),
        ("TEXT", b"Spam", False, "TEXT 'Spam' [4 bytes, continued]"),
        ("TEXT", b"\xff", True, "TEXT ff [binary, 1 byte]"),
        ("BINARY", b"\x00\x01\x02\x03", True, "BINARY 00 01 02 03 [4 bytes]"),
        ("BINARY", b"Spam", True, "BINARY 'Spam' [text, 4 bytes]"),
        ("CONT", b"Spam", True, "CONT 'Spam' [text, 4 bytes]"),
        ("CLOSE", b"\x03\xe8", True, "CLOSE 1000 (OK) [2 bytes]"),
        ("CLOSE", b"\x03\xe9OK", True, "CLOSE 1001 (going away) OK [4 bytes]"),
        ("CLOSE", b"", True, "CLOSE '' [0 bytes]"),
        ("PING", b"", True, "PING '' [0 bytes]"),
        ("PING", b"ping", True, "PING 'ping' [text, 4 bytes]"),
        ("PONG", b"\x00\xff", True, "PONG 00 ff [binary, 2 bytes]"),
    ],
)
def test_frame_in_logs(lib: Library, opcode: str, data: bytes, fin: bool, text: str) -> None:
    assert str(lib.Frame(lib.Opcode[opcode], data, fin)) == text


@pytest.mark.parametrize(("opcode", "data"), [("TEXT", b"a" * 1000), ("BINARY", b"\x00" * 1000)])
def test_long_frame_in_logs(lib: Library, opcode: str, data: bytes) -> None:
    text = str(lib.Frame(lib.Opcode[opcode], data))
    assert len(text) < 120
    assert "..." in text
    assert text.endswith("[1000 bytes]")


# Close.


@pytest.mark.parametrize(
    ("code", "reason", "text"),
    [
        (1000, "", "1000 (OK)"),
        (1001, "Bye!", "1001 (going away) Bye!"),
        (1002, "", "1002 (protocol error)"),
        (1003, "", "1003 (unsupported data)"),
        (1005, "", "1005 (no status received [internal])"),
        (1006, "", "1006 (abnormal closure [internal])"),
        (1007, "", "1007 (invalid frame payload data)"),
        (1008, "", "1008 (policy violation)"),
        (1009, "", "1009 (message too big)"),
        (1010, "", "1010 (mandatory extension)"),
        (1011, "", "1011 (internal error)"),
        (1012, "", "1012 (service restart)"),
        (1013, "", "1013 (try again later)"),
        (1014, "", "1014 (bad gateway)"),
        (1015, "", "1015 (TLS handshake failure [internal])"),
        (2000, "", "2000 (unknown)"),
        (3000, "", "3000 (registered)"),
        (4000, "", "4000 (private use)"),
    ],
)
def test_close_in_logs(lib: Library, code: int, reason: str, text: str) -> None:
    assert str(lib.Close(code, reason)) == text


@pytest.mark.parametrize(
    ("code", "reason", "octets"),
    [
        (1000, "", b"\x03\xe8"),
        (1001, "OK", b"\x03\xe9OK"),
        (4999, "é", b"\x13\x87\xc3\xa9"),
    ],
)
def test_close_payload(lib: Library, code: int, reason: str, octets: bytes) -> None:
    assert lib.Close(code, reason).serialize() == octets
    assert lib.Close.parse(octets) == lib.Close(code, reason)


def test_empty_close_payload(lib: Library) -> None:
    assert lib.Close.parse(b"") == lib.Close(1005, "")


@pytest.mark.parametrize("octets", [b"\x03", b"\x03\xe7", b"\x03\xed", b"\x13\x88"])
def test_wrong_close_payload(lib: Library, octets: bytes) -> None:
    with pytest.raises(lib.ProtocolError):
        lib.Close.parse(octets)


def test_close_reason_must_be_utf8(lib: Library) -> None:
    with pytest.raises(UnicodeDecodeError):
        lib.Close.parse(b"\x03\xe8\xff")


@pytest.mark.parametrize("code", [999, 1004, 1005, 1006, 1015, 2000, 5000])
def test_close_codes_that_are_not_for_the_wire(lib: Library, code: int) -> None:
    with pytest.raises(lib.ProtocolError):
        lib.Close(code, "").serialize()


# Headers.


@pytest.fixture
def headers(lib: Library) -> Any:
    return lib.Headers([("Connection", "Upgrade"), ("Server", lib.name)])


def test_headers_are_a_mapping(lib: Library, headers: Any) -> None:
    assert headers["connection"] == headers["CONNECTION"] == "Upgrade"
    assert "SERVER" in headers
    assert "Host" not in headers
    assert 42 not in headers
    assert len(headers) == 2
    assert list(headers) == ["connection", "server"]
    assert headers.get("Host") is None
    assert headers.get("Host", "none") == "none"
    with pytest.raises(KeyError):
        headers["Host"]


def test_headers_append(lib: Library, headers: Any) -> None:
    headers["Server"] = "another"
    with pytest.raises(lib.MultipleValuesError):
        headers["Server"]
    assert headers.get_all("server") == [lib.name, "another"]
    assert headers.get_all("host") == []
    del headers["server"]
    assert "Server" not in headers


def test_headers_update(lib: Library, headers: Any) -> None:
    headers.update({"A": "1"})
    headers.update([("B", "2")])
    headers.update(lib.Headers(C="3"))
    headers.update(D="4")
    assert [headers[name] for name in "abcd"] == ["1", "2", "3", "4"]


def test_headers_keep_order_and_case(lib: Library, headers: Any) -> None:
    headers["connection"] = "again"
    assert list(headers.raw_items()) == [
        ("Connection", "Upgrade"),
        ("Server", lib.name),
        ("connection", "again"),
    ]
    assert headers.serialize() == (
        f"Connection: Upgrade\r\nServer: {lib.name}\r\nconnection: again\r\n\r\n".encode()
    )
    assert str(headers) == headers.serialize().decode()


def test_headers_copy_clear_and_equality(lib: Library, headers: Any) -> None:
    copy = headers.copy()
    assert copy == headers
    copy["X"] = "Y"
    assert copy != headers
    assert "X" not in headers
    copy.clear()
    assert len(copy) == 0
    assert headers != {"connection": "Upgrade"}
    assert repr(lib.Headers(A="1")) == "Headers([('A', '1')])"


def test_headers_setdefault(lib: Library, headers: Any) -> None:
    assert headers.setdefault("Connection", "other") == "Upgrade"
    assert headers.setdefault("Host", "localhost") == "localhost"
    assert headers["host"] == "localhost"


@pytest.mark.parametrize("value", ["a\r\nInjected: yes", "a\nb", "\0", "\x7f"])
def test_headers_refuse_injection(lib: Library, headers: Any, value: str) -> None:
    with pytest.raises(lib.InvalidHeaderValue):
        headers["X"] = value


# Requests and responses.


def test_request(lib: Library) -> None:
    request = lib.Request("/room?x=1", lib.Headers([("Host", "localhost")]))
    assert (request.path, request.headers["host"]) == ("/room?x=1", "localhost")
    assert request.serialize() == b"GET /room?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert request == lib.Request("/room?x=1", lib.Headers([("Host", "localhost")]))


def test_response(lib: Library) -> None:
    response = lib.Response(200, "OK", lib.Headers([("Content-Length", "2")]), b"hi")
    assert (response.status_code, response.reason_phrase, response.body) == (200, "OK", b"hi")
    assert response.serialize() == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def test_response_without_body(lib: Library) -> None:
    response = lib.Response(101, "Switching Protocols", lib.Headers(Upgrade="websocket"))
    assert response.serialize() == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
    )


# URIs.


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("ws://localhost/", (False, "localhost", 80, "/", "")),
        ("wss://localhost/", (True, "localhost", 443, "/", "")),
        ("ws://localhost/path?query", (False, "localhost", 80, "/path", "query")),
        ("WS://LOCALHOST/PATH?QUERY", (False, "localhost", 80, "/PATH", "QUERY")),
        ("wss://localhost:8443/", (True, "localhost", 8443, "/", "")),
        ("ws://[::1]:8080/", (False, "::1", 8080, "/", "")),
    ],
)
def test_uri(lib: Library, uri: str, expected: tuple[Any, ...]) -> None:
    parsed = lib.parse_uri(uri)
    assert isinstance(parsed, lib.WebSocketURI)
    fields = (parsed.secure, parsed.host, parsed.port, parsed.path, parsed.query)
    assert fields == expected
    assert parsed.username is None
    assert parsed.user_info is None


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("ws://localhost", "/"),
        ("ws://localhost?query", "/?query"),
        ("ws://localhost/path", "/path"),
        ("ws://localhost/path?query", "/path?query"),
        ("ws://localhost/ünïcode", "/%C3%BCn%C3%AFcode"),
    ],
)
def test_resource_name(lib: Library, uri: str, name: str) -> None:
    assert lib.parse_uri(uri).resource_name == name


@pytest.mark.parametrize(
    ("uri", "user_info"),
    [
        ("ws://hello:iloveyou@localhost/", ("hello", "iloveyou")),
        ("ws://us%40er:pass%3Aword@localhost/", ("us@er", "pass:word")),
    ],
)
def test_user_info(lib: Library, uri: str, user_info: tuple[str, str]) -> None:
    parsed = lib.parse_uri(uri)
    assert parsed.user_info == user_info
    assert (parsed.username, parsed.password) == user_info


def test_international_host(lib: Library) -> None:
    assert lib.parse_uri("wss://bücher.example/").host == "xn--bcher-kva.example"


@pytest.mark.parametrize(
    "uri", ["http://localhost/", "https://localhost/", "ws://", "ws://localhost/#x", "localhost"]
)
def test_wrong_uri(lib: Library, uri: str) -> None:
    with pytest.raises(lib.InvalidURI) as raised:
        lib.parse_uri(uri)
    assert raised.value.uri == uri


# Header grammar.


def test_lists(lib: Library) -> None:
    assert lib.parse_connection("keep-alive, Upgrade") == ["keep-alive", "Upgrade"]
    assert lib.parse_upgrade("websocket, h2c/1.0") == ["websocket", "h2c/1.0"]
    assert lib.parse_subprotocol("v1, v2.example") == ["v1", "v2.example"]
    assert lib.parse_connection(",,  , Upgrade ,") == ["Upgrade"]


@pytest.mark.parametrize(
    ("header", "parsed"),
    [
        ("foo", [("foo", [])]),
        ("foo, bar", [("foo", []), ("bar", [])]),
        ('foo; name; token=token; quoted-string="quoted-string", bar; a=b', [
            ("foo", [("name", None), ("token", "token"), ("quoted-string", "quoted-string")]),
            ("bar", [("a", "b")]),
        ]),
    ],
)  # fmt: skip
def test_extensions(lib: Library, header: str, parsed: Any) -> None:
    assert lib.parse_extension(header) == parsed
    assert lib.parse_extension(lib.build_extension(parsed)) == parsed


@pytest.mark.parametrize("header", ["", "???", "foo; bar=", "foo bar", 'foo; bar="unfinished'])
def test_wrong_extensions(lib: Library, header: str) -> None:
    with pytest.raises(lib.InvalidHeaderFormat):
        lib.parse_extension(header)


@pytest.mark.parametrize("parse", ["parse_connection", "parse_upgrade", "parse_subprotocol"])
@pytest.mark.parametrize("header", ["", "???", "a b"])
def test_wrong_lists(lib: Library, parse: str, header: str) -> None:
    with pytest.raises(lib.InvalidHeaderFormat):
        getattr(lib, parse)(header)


@pytest.mark.parametrize(
    ("arguments", "host"),
    [
        (("localhost", 80, False), "localhost"),
        (("localhost", 8080, False), "localhost:8080"),
        (("localhost", 443, True), "localhost"),
        (("localhost", 80, True), "localhost:80"),
        (("::1", 8080, False), "[::1]:8080"),
    ],
)
def test_build_host(lib: Library, arguments: Any, host: str) -> None:
    assert lib.build_host(*arguments) == host


def test_basic_credentials(lib: Library) -> None:
    header = lib.build_authorization_basic("Aladdin", "open sesame")
    assert header == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert lib.parse_authorization_basic(header) == ("Aladdin", "open sesame")
    odd = "Basic " + base64.b64encode(b"user:with:colons").decode()
    assert lib.parse_authorization_basic(odd) == ("user", "with:colons")


@pytest.mark.parametrize("header", ["Digest ...", "Basic", "Basic ***", "Basic QWxhZGRpbg=="])
def test_wrong_basic_credentials(lib: Library, header: str) -> None:
    with pytest.raises(lib.InvalidHeader):
        lib.parse_authorization_basic(header)


def test_basic_challenge(lib: Library) -> None:
    assert lib.build_www_authenticate_basic("foo") == 'Basic realm="foo", charset="UTF-8"'


def test_validate_subprotocols(lib: Library) -> None:
    assert lib.validate_subprotocols(["chat", "v2.example"]) is None
    with pytest.raises(TypeError):
        lib.validate_subprotocols("chat")
    with pytest.raises((ValueError, lib.InvalidHeader)):
        lib.validate_subprotocols(["not a token"])
