from __future__ import annotations

import pytest

from duologue.base.exceptions import (
    BodyTooLarge,
    HeaderLineTooLong,
    InvalidMethod,
    InvalidProtocol,
    RequestLineTooLong,
    SecurityError,
    StatusLineTooLong,
    TooManyHeaders,
)
from duologue.base.limits import Limits
from duologue.version import version
from duologue.wire.headers import Headers
from duologue.wire.http11 import (
    SERVER,
    USER_AGENT,
    Request,
    RequestParser,
    Response,
    ResponseParser,
)

UPGRADE = (
    b"GET /chat?x=%C3%A9 HTTP/1.1\r\n"
    b"Host: server.example.com\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"Empty:\r\n"
    b"Padded: \t x y \t\r\n"
    b"\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


def run(parser, pieces):
    """Feed pieces; return the message and all that follows it, the error, or None."""
    for index, piece in enumerate(pieces):
        try:
            message = parser.feed(piece)
        except Exception as exc:
            return type(exc)
        if message is not None:
            return message, parser.rest + b"".join(pieces[index + 1 :])
    return None


def outcome(data, make=RequestParser):
    """Return the outcome, which must be the same for every way to split."""
    whole = run(make(), [data])
    assert run(make(), [data[i : i + 1] for i in range(len(data))]) == whole
    for split in range(1, len(data)):
        assert run(make(), [data[:split], data[split:]]) == whole, split
    return whole


def request(*lines, line=b"GET / HTTP/1.1", host=b"Host: h"):
    return b"\r\n".join([line, *([host] if host else []), *lines, b"", b""])


def response(*lines, line=b"HTTP/1.1 200 OK", body=b""):
    return b"\r\n".join([line, *lines, b"", body])


def test_product_names():
    assert USER_AGENT == SERVER
    assert SERVER.startswith("Python/3.") and SERVER.endswith(f" duologue/{version}")


# Requests


def test_request():
    message, rest = outcome(UPGRADE + b"\x81\x00")
    assert rest == b"\x81\x00"
    assert message.path == "/chat?x=%C3%A9"
    assert (message.method, message.protocol) == ("GET", "HTTP/1.1")
    assert list(message.headers.raw_items()) == [
        ("Host", "server.example.com"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
        ("Empty", ""),
        ("Padded", "x y"),
    ]


def test_request_round_trip():
    message, _ = outcome(UPGRADE)
    assert outcome(message.serialize())[0] == message


@pytest.mark.parametrize(
    ("line", "method", "path", "protocol"),
    [
        (b"POST /a HTTP/1.1", "POST", "/a", "HTTP/1.1"),
        (b"HEAD / HTTP/1.1", "HEAD", "/", "HTTP/1.1"),
        (b"GET / HTTP/1.0", "GET", "/", "HTTP/1.0"),
        (b"OPTIONS * HTTP/1.1", "OPTIONS", "*", "HTTP/1.1"),
        (b"GET http://h/a?b HTTP/1.1", "GET", "http://h/a?b", "HTTP/1.1"),
        (b"CONNECT h:443 HTTP/1.1", "CONNECT", "h:443", "HTTP/1.1"),
        (b'GET /"<>^`{|} HTTP/1.1', "GET", '/"<>^`{|}', "HTTP/1.1"),
    ],
)
def test_request_lines_are_reported_not_judged(line, method, path, protocol):
    message, _ = outcome(request(line=line))
    assert (message.method, message.path, message.protocol) == (method, path, protocol)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"GET / HTTP/2.0", InvalidProtocol),
        (b"PRI * HTTP/2.0", InvalidProtocol),
        (b"GET / HTTP/1.2", InvalidProtocol),
        (b"GET / HTTP/0.9", InvalidProtocol),
        (b"GET / HTTP/9.9", InvalidProtocol),
        (b"GET /", ValueError),
        (b"GET", ValueError),
        (b"GET  / HTTP/1.1", ValueError),
        (b"GET / HTTP/1.1 ", ValueError),
        (b" GET / HTTP/1.1", ValueError),
        (b"GET\t/ HTTP/1.1", ValueError),
        (b"GET / http/1.1", ValueError),
        (b"GET / HTTP/1.10", ValueError),
        (b"GET / HTTP/1", ValueError),
        (b"GET / RTSP/1.0", ValueError),
        (b"SOURCE / ICE/1.0", ValueError),
        (b"GET /#fragment HTTP/1.1", ValueError),
        (b"GET /\xc3\xa9 HTTP/1.1", ValueError),
        (b"GET /\x7f HTTP/1.1", ValueError),
        (b"GET / x HTTP/1.1", ValueError),
        (b"GET chat HTTP/1.1", ValueError),
        (b"G@T / HTTP/1.1", ValueError),
        (b"get / HTTP/1.1", InvalidMethod),
        (b"FOO / HTTP/1.1", InvalidMethod),
        (b"\x16\x03\x01\x02\x00\x01", ValueError),
        (b"HTTP/1.1 200 OK", ValueError),
    ],
)
def test_request_lines_refused(line, error):
    assert outcome(request(line=line)) is error


def test_another_version_is_refused_with_its_name_as_soon_as_the_line_is_there():
    with pytest.raises(InvalidProtocol) as info:
        RequestParser().feed(b"PRI * HTTP/2.0\r\n")
    assert info.value.protocol == "HTTP/2.0"


def test_unknown_method_is_named():
    with pytest.raises(InvalidMethod) as info:
        RequestParser().feed(request(line=b"FOO / HTTP/1.1"))
    assert info.value.method == "FOO"


def test_a_tls_hello_is_refused_at_its_first_octet():
    with pytest.raises(ValueError, match="0x16"):
        RequestParser().feed(b"\x16")


@pytest.mark.parametrize(
    "head",
    [
        request(host=None),
        request(host=b"Hostess: h"),
        request(b"Host: h"),
        request(b"host: other"),
        request(host=b"Host: h/"),
        request(host=b"Host: h h"),
        request(host=b"Host: h:x"),
        request(host=b"Host: u@h"),
        request(host=b"Host: h, h"),
        request(host=b"Host: [::1"),
        request(host=b"Host: h\xe9"),
        request(b"Host: h", line=b"GET / HTTP/1.0"),
    ],
)
def test_host_missing_repeated_or_wrong(head):
    assert outcome(head) is ValueError


@pytest.mark.parametrize(
    "host", [b"", b"h", b"h:8001", b"h:", b"[::1]", b"[::1]:80", b"a_b.c-d.e.", b"1.2.3.4:5"]
)
def test_host_accepted(host):
    message, _ = outcome(request(host=b"Host: " + host))
    assert message.headers["Host"] == host.decode()


def test_http_1_0_may_lack_host():
    message, _ = outcome(request(host=None, line=b"GET / HTTP/1.0"))
    assert message.protocol == "HTTP/1.0"


@pytest.mark.parametrize(
    "line",
    [
        b"A: b\nC: d",
        b"A: b\rC: d",
        b"A: \x00",
        b"A: \x08",
        b"A\x00: b",
        b"A: b\r\n folded",
        b"A: b\r\n\tfolded",
        b"A : b",
        b"A",
        b": b",
        b"A B: c",
        b"A(: b",
        b"A\xe9: b",
        b"{A}: b",
    ],
)
def test_header_lines_refused(line):
    assert outcome(request(line)) is ValueError
    assert outcome(request(line, b"Z: z")) is ValueError
    assert run(ResponseParser(), [response(line)]) is ValueError


def test_header_names_are_exactly_tokens():
    token = set(b"!#$%&'*+-.^_`|~0123456789") | set(range(65, 91)) | set(range(97, 123))
    for octet in range(256):
        result = run(RequestParser(), [request(b"X" + bytes([octet]) + b"y: z")])
        if octet in token:
            assert result[0].headers["X" + chr(octet) + "y"] == "z"
        elif octet != ord(":"):
            assert result is ValueError, octet


def test_header_values_may_have_obs_text():
    message, _ = outcome(request("A: caf\u00e9".encode("latin-1"), b"B: \xff\x80"))
    assert message.headers["A"] == "café"
    assert message.headers["B"].encode("latin-1") == b"\xff\x80"


def test_another_upgrade_is_reported_not_judged():
    message, rest = outcome(request(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c") + b"x")
    assert message.headers["Upgrade"] == "h2c"
    assert rest == b"x"


@pytest.mark.parametrize(
    ("lines", "content_length", "chunked"),
    [
        ([], 0, False),
        ([b"Content-Length: 0"], 0, False),
        ([b"Content-Length: 5"], 5, False),
        ([b"Content-Length:  0005 "], 5, False),
        ([b"Transfer-Encoding: chunked"], 0, True),
        ([b"Transfer-Encoding: Chunked"], 0, True),
    ],
)
def test_announced_bodies(lines, content_length, chunked):
    parser = RequestParser()
    assert parser.feed(request(*lines, line=b"POST / HTTP/1.1") + b"hello") is not None
    assert (parser.content_length, parser.chunked) == (content_length, chunked)
    assert parser.rest == b"hello"


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ([b"Content-Length: 5", b"Transfer-Encoding: chunked"], ValueError),
        ([b"Transfer-Encoding: chunked", b"Content-Length: 5"], ValueError),
        ([b"Content-Length: 5", b"Content-Length: 6"], ValueError),
        ([b"Content-Length: 5", b"Content-Length: 5"], ValueError),
        ([b"Content-Length: 5, 5"], ValueError),
        ([b"Content-Length:"], ValueError),
        ([b"Content-Length: -1"], ValueError),
        ([b"Content-Length: +1"], ValueError),
        ([b"Content-Length: 1_0"], ValueError),
        ([b"Content-Length: 0x1"], ValueError),
        ([b"Content-Length: \xb2"], ValueError),
        ([b"Content-Length: " + b"9" * 19], ValueError),
        ([b"Transfer-Encoding: gzip"], NotImplementedError),
        ([b"Transfer-Encoding: gzip, chunked"], NotImplementedError),
        ([b"Transfer-Encoding: chunked, chunked"], NotImplementedError),
        ([b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"], NotImplementedError),
        ([b"Transfer-Encoding:"], NotImplementedError),
        ([b"Transfer-Encoding: \x0bchunked"], ValueError),
        ([b"Transfer-Encoding : chunked"], ValueError),
    ],
)
def test_ambiguous_bodies_refused(lines, error):
    assert outcome(request(*lines, line=b"POST / HTTP/1.1")) is error
    assert outcome(response(*lines), ResponseParser) is error


def test_transfer_encoding_in_http_1_0():
    line = b"POST / HTTP/1.0"
    assert outcome(request(b"Transfer-Encoding: chunked", line=line)) is ValueError


LIMITS = Limits(max_line=100, max_headers=5, max_head=400)


@pytest.mark.parametrize(
    ("head", "error"),
    [
        (request(line=b"GET /" + b"a" * 87 + b" HTTP/1.1"), RequestLineTooLong),
        (request(b"A: " + b"b" * 98), HeaderLineTooLong),
        (request(*[b"A: b"] * 5), TooManyHeaders),
        (request(*[b"A: " + b"b" * 90] * 4), SecurityError),
        (b"GET /" + b"a" * 100, RequestLineTooLong),
        (b"\r\n" * 201, SecurityError),
    ],
)
def test_limits(head, error):
    assert outcome(head, lambda: RequestParser(LIMITS)) is error


@pytest.mark.parametrize(
    "head",
    [
        request(line=b"GET /" + b"a" * 86 + b" HTTP/1.1"),
        request(b"A: " + b"b" * 97),
        request(*[b"A: b"] * 4),
    ],
)
def test_at_the_limits(head):
    message, rest = outcome(head, lambda: RequestParser(LIMITS))
    assert message.serialize() == head and rest == b""


def test_default_limits_hold_octet_by_octet():
    parser = RequestParser()
    parser.feed(b"GET / HTTP/1.1\r\nHost: h\r\n")
    with pytest.raises(SecurityError, match="32768"):
        for _ in range(33):
            for octet in b"A: " + b"b" * 995:
                parser.feed(bytes([octet]))
            parser.feed(b"\r\n")


def test_empty_lines_before_a_request_are_ignored():
    assert outcome(b"\r\n\r\n" + UPGRADE) == outcome(UPGRADE)


def test_pipelined_requests_are_left_in_rest():
    _message, rest = outcome(UPGRADE + UPGRADE)
    assert rest == UPGRADE


def test_a_complete_request_takes_no_more():
    parser = RequestParser()
    parser.feed(UPGRADE)
    with pytest.raises(RuntimeError, match="rest"):
        parser.feed(b"x")
    parser.feed_eof()


@pytest.mark.parametrize(
    ("data", "where"),
    [(b"", "before"), (b"GET", "in the first line"), (UPGRADE[:-2], "in the header lines")],
)
def test_end_of_stream_before_the_end_of_the_head(data, where):
    parser = RequestParser()
    parser.feed(data)
    with pytest.raises(EOFError, match=where):
        parser.feed_eof()


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_accepts_bytes_like(kind):
    assert RequestParser().feed(kind(UPGRADE)) == RequestParser().feed(UPGRADE)
    assert ResponseParser().feed(kind(SWITCH)) == ResponseParser().feed(SWITCH)


@pytest.mark.parametrize(
    "message",
    [
        Request("/ HTTP/1.1\r\nX: y", Headers()),
        Request("/a b", Headers()),
        Request("", Headers()),
        Request("/é", Headers()),
        Request("/", Headers(), method="G T"),
        Request("/", Headers(), method=""),
        Request("/", Headers(), protocol="HTTP/2.0"),
        Request("/", Headers(), protocol="HTTP/1.1\r\n"),
    ],
)
def test_requests_that_cannot_be_sent(message):
    with pytest.raises(ValueError, match="cannot send this request line"):
        message.serialize()


# Responses


def test_switching_protocols():
    message, rest = outcome(SWITCH + b"\x81\x00", ResponseParser)
    assert (message.status_code, message.reason_phrase) == (101, "Switching Protocols")
    assert message.headers["Upgrade"] == "websocket"
    assert message.body == b""
    assert rest == b"\x81\x00"
    assert message.serialize() == SWITCH


@pytest.mark.parametrize(
    ("line", "status", "reason"),
    [
        (b"HTTP/1.1 404 Not Found", 404, "Not Found"),
        (b"HTTP/1.1 404 ", 404, ""),
        (b"HTTP/1.1 404", 404, ""),
        (b"HTTP/1.0 404 x", 404, "x"),
        (b"HTTP/1.1 599 \xe9\t ", 599, "é\t "),
    ],
)
def test_status_lines(line, status, reason):
    message, _ = outcome(response(b"Content-Length: 0", line=line), ResponseParser)
    assert (message.status_code, message.reason_phrase) == (status, reason)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"HTTP/2.0 200 OK", InvalidProtocol),
        (b"HTTP/1.0 101 Switching Protocols", InvalidProtocol),
        (b"HTTP/1.1 99 x", ValueError),
        (b"HTTP/1.1 600 x", ValueError),
        (b"HTTP/1.1 2000 x", ValueError),
        (b"HTTP/1.1 20 x", ValueError),
        (b"HTTP/1.1  200 x", ValueError),
        (b"HTTP/1.1\t200 x", ValueError),
        (b"HTTP/1.1 200\tx", ValueError),
        (b"HTTP/1.1 \xb200 x", ValueError),
        (b"HTTP/1.1", ValueError),
        (b"http/1.1 200 OK", ValueError),
        (b"ICE/1.0 200 OK", ValueError),
        (b"SSH-2.0-OpenSSH_9.6", ValueError),
        (b"220 mail.example.com ESMTP", ValueError),
        (b"", ValueError),
        (b"\x15\x03\x03\x00\x02\x02\x46", ValueError),
    ],
)
def test_status_lines_refused(line, error):
    data = response(b"Content-Length: 0", line=line)
    assert outcome(data, ResponseParser) is error


@pytest.mark.parametrize(
    ("data", "body", "rest"),
    [
        (response(b"Content-Length: 5", body=b"hello!!"), b"hello", b"!!"),
        (response(b"Content-Length: 0", body=b"x"), b"", b"x"),
        (
            response(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\nA: b\r\n\r\n!"),
            b"hello",
            b"!",
        ),
        (response(line=b"HTTP/1.1 204 No Content", body=b"x"), b"", b"x"),
        (response(b"Content-Length: 9", line=b"HTTP/1.1 304 Not Modified"), b"", b""),
    ],
)
def test_response_bodies(data, body, rest):
    message, after = outcome(data, ResponseParser)
    assert (message.body, after) == (body, rest)


def test_body_up_to_the_end_of_the_stream():
    parser = ResponseParser()
    assert parser.feed(response(body=b"hel")) is None
    assert parser.feed(b"lo") is None
    message = parser.feed_eof()
    assert message.body == b"hello"
    assert parser.feed_eof() is None
    assert message.serialize() == response(body=b"hello")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1",
        response()[:-2],
        response(b"Content-Length: 5", body=b"hell"),
        response(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"),
    ],
)
def test_end_of_stream_before_the_end_of_the_response(data):
    parser = ResponseParser()
    parser.feed(data)
    with pytest.raises(EOFError, match="connection ended"):
        parser.feed_eof()


def test_interim_responses_are_dropped():
    interim = response(line=b"HTTP/1.1 100 Continue") + response(b"Link: x", line=b"HTTP/1.1 103 E")
    assert outcome(interim + SWITCH + b"x", ResponseParser) == outcome(
        SWITCH + b"x", ResponseParser
    )


def test_endless_interim_responses_pass_the_limit():
    interim = response(line=b"HTTP/1.1 100 Continue")
    parser = ResponseParser(Limits(max_head=1000))
    with pytest.raises(SecurityError, match="max_head"):
        for _ in range(1000 // len(interim) + 1):
            parser.feed(interim)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"HTTP/1.1 200 " + b"x" * 100, StatusLineTooLong),
        (response(b"A: " + b"b" * 98), HeaderLineTooLong),
        (response(*[b"A: b"] * 6), TooManyHeaders),
        (response(*[b"A: " + b"b" * 90] * 5), SecurityError),
    ],
)
def test_response_limits(data, error):
    assert outcome(data, lambda: ResponseParser(LIMITS)) is error


@pytest.mark.parametrize(
    "data",
    [
        response(b"Content-Length: 11"),
        response(b"Transfer-Encoding: chunked", body=b"b\r\n"),
        response(body=b"x" * 11),
    ],
)
def test_response_bodies_are_bounded(data):
    assert outcome(data, lambda: ResponseParser(max_body=10)) is BodyTooLarge
    assert outcome(data, lambda: ResponseParser(Limits(max_body=10))) is BodyTooLarge
    assert outcome(data, lambda: ResponseParser(Limits(max_body=10), max_body=11)) is None
    assert outcome(data, lambda: ResponseParser(Limits(max_body=10), max_body=None)) is None


def test_a_complete_response_takes_no_more():
    parser = ResponseParser()
    parser.feed(SWITCH)
    assert parser.protocol == "HTTP/1.1"
    with pytest.raises(RuntimeError, match="rest"):
        parser.feed(b"x")
    assert parser.feed_eof() is None


def test_response_serializes():
    message = Response(200, "OK", Headers({"Content-Length": "2"}), b"hi")
    assert message.serialize() == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@pytest.mark.parametrize(
    "message",
    [
        Response(99, "x", Headers()),
        Response(600, "x", Headers()),
        Response(200, "a\r\nX: y", Headers()),
        Response(200, "中", Headers()),
    ],
)
def test_responses_that_cannot_be_sent(message):
    with pytest.raises(ValueError, match="cannot send this status line"):
        message.serialize()
