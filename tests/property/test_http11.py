from __future__ import annotations

import itertools

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.base.limits import Limits
from duologue.wire.body import ChunkedBody
from duologue.wire.http11 import RequestParser, ResponseParser

h11 = pytest.importorskip("h11")
http11 = pytest.importorskip("websockets.http11")
streams = pytest.importorskip("websockets.streams")

LINES = [b"GET / HTTP/1.1", b"POST /a?b HTTP/1.1", b"GET / HTTP/1.0", b"GET / HTTP/2.0", b"FOO / x"]
PIECES = [
    b"Host: h",
    b"A: b",
    b"a:c",
    b"Content-Length: 3",
    b"Transfer-Encoding: chunked",
    b"X:\xe9",
]
PIECES += [
    b"Upgrade: h2c",
    b"Connection: Upgrade",
    b" fold",
    b"bad line",
    b"Sp : x",
    b"N: \x00",
    b"E:",
]
GLUE = [b"\r\n"] * 12 + [b"\n", b"\r", b"\r\n\r\n"]
SMALL = Limits(max_line=40, max_headers=6, max_head=150, max_body=20)


@st.composite
def heads(draw, first=tuple(LINES)):
    lines = [draw(st.sampled_from(first)), *draw(st.lists(st.sampled_from(PIECES), max_size=8))]
    head = b"".join(line + draw(st.sampled_from(GLUE)) for line in lines) + b"\r\n"
    return head + draw(st.binary(max_size=5))


def run(parser, pieces):
    """Return the message and what follows it, the kind of error, or None."""
    for index, piece in enumerate(pieces):
        try:
            message = parser.feed(piece)
        except Exception as exc:
            return type(exc)
        if message is not None:
            return message, parser.rest + b"".join(pieces[index + 1 :])
    return None


def cut(data, places):
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


places = st.lists(st.integers(0, 1000), max_size=6)


@given(heads(), places, st.sampled_from([SMALL, Limits()]))
def test_requests_do_not_depend_on_how_they_are_split(data, where, limits):
    whole = run(RequestParser(limits), [data])
    assert run(RequestParser(limits), cut(data, where)) == whole
    assert run(RequestParser(limits), [data[i : i + 1] for i in range(len(data))]) == whole


RESPONSES = [
    b"HTTP/1.1 101 x",
    b"HTTP/1.1 200 OK",
    b"HTTP/1.0 404",
    b"HTTP/1.1 103 e",
    b"HTTP/1.1 204 ",
]


@given(heads(tuple(RESPONSES)), st.lists(heads(tuple(RESPONSES)), max_size=2), places)
def test_responses_do_not_depend_on_how_they_are_split(data, more, where):
    data += b"".join(more)
    whole = run(ResponseParser(SMALL), [data])
    assert run(ResponseParser(SMALL), cut(data, where)) == whole
    assert run(ResponseParser(SMALL), [data[i : i + 1] for i in range(len(data))]) == whole


def read_with_websockets(data):
    reader = streams.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    steps = http11.Request.parse(reader.read_line)
    try:
        while True:
            next(steps)
    except StopIteration as stop:
        return stop.value


class Fields(list):
    def on_header(self, name, value):
        self.append((name.decode("latin-1"), value.strip(b" \t").decode("latin-1")))


harmless = st.lists(
    st.sampled_from([b"A: b", b"a:c", b"X:\xe9", b"E:", b"Upgrade: h2c", b"P: \t p \t"])
    | st.binary(max_size=4).map(b"B: ".__add__),
    max_size=5,
)


@st.composite
def hopeful_heads(draw):
    line = draw(st.sampled_from(LINES[:3]))
    framing = draw(
        st.sampled_from([[], [], [b"Content-Length: 3"], [b"Transfer-Encoding: chunked"]])
    )
    lines = [line, b"Host: h", *draw(harmless), *framing, *draw(harmless)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + draw(st.binary(max_size=5))


@given(hopeful_heads())
def test_what_is_accepted_means_the_same_to_websockets_and_llhttp(data):
    result = run(RequestParser(), [data])
    if not isinstance(result, tuple):
        return
    message, rest = result
    fields = list(message.headers.raw_items())
    judge = Fields()
    try:
        httptools.HttpRequestParser(judge).feed_data(data[: len(data) - len(rest)])
    except httptools.HttpParserUpgrade:
        pass
    assert judge == fields
    if not {"content-length", "transfer-encoding"} & set(message.headers):
        theirs = read_with_websockets(data)
        assert list(theirs.headers.raw_items()) == fields
        assert (theirs.method, theirs.path, theirs.protocol) == (
            message.method,
            message.path,
            message.protocol,
        )


tokens = st.from_regex(r"[A-Za-z][A-Za-z0-9!#$%&'*+.^_`|~-]{0,10}", fullmatch=True)
values = st.from_regex(r"([!-~]([ \t!-~]{0,10}[!-~])?)?", fullmatch=True)
SPECIAL = {"host", "content-length", "transfer-encoding", "connection", "upgrade"}
fields = st.lists(st.tuples(tokens.filter(lambda t: t.lower() not in SPECIAL), values), max_size=8)
targets = st.from_regex(r"/[!\"$-~]{0,20}", fullmatch=True)


@given(fields, targets)
def test_h11_agrees_about_requests(pairs, target):
    pairs = [("Host", "h"), *pairs]
    head = f"GET {target} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in pairs) + "\r\n"
    message, rest = run(RequestParser(), [head.encode(), b"rest"])
    peer = h11.Connection(h11.SERVER)
    peer.receive_data(head.encode())
    event = peer.next_event()
    assert (event.method.decode(), event.target.decode()) == ("GET", message.path)
    assert [(n.decode(), v.decode()) for n, v in event.headers.raw_items()] == pairs
    assert list(message.headers.raw_items()) == pairs
    assert rest == b"rest"


def read_with_h11(data):
    """Return status, body and the rest of a response, as h11 reads it."""
    peer = h11.Connection(h11.CLIENT)
    peer.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    peer.send(h11.EndOfMessage())
    peer.receive_data(data)
    status, body = 0, b""
    while not isinstance(event := peer.next_event(), h11.EndOfMessage):
        if isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        else:
            assert event is not h11.NEED_DATA
    return status, body, peer.trailing_data[0]


@given(
    st.lists(st.binary(min_size=1, max_size=20), max_size=4),
    st.booleans(),
    fields,
    st.sampled_from([200, 404, 503]),
    places,
)
def test_h11_agrees_about_response_bodies(chunks, chunked, pairs, status, where):
    body = b"".join(chunks)
    if chunked:
        framing = "Transfer-Encoding: chunked"
        encoded = b"".join(b"%X;x=y\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
        encoded += b"0\r\nTrailer: x\r\n\r\n"
    else:
        framing, encoded = f"Content-Length: {len(body)}", body
    head = f"HTTP/1.1 {status} x\r\n" + "".join(f"{n}: {v}\r\n" for n, v in pairs)
    data = f"{head}{framing}\r\n\r\n".encode() + encoded + b"rest"
    message, rest = run(ResponseParser(), cut(data, where))
    assert (
        (message.status_code, message.body, rest) == read_with_h11(data) == (status, body, b"rest")
    )


@given(
    st.lists(
        st.sampled_from([b"0", b"2", b"a", b"\r\n", b"\n", b";x", b"A: b", b"xy"]), max_size=12
    )
)
def test_chunked_bodies_do_not_depend_on_how_they_are_split(pieces):
    data = b"".join(pieces)

    def read(parts):
        body = ChunkedBody(SMALL)
        try:
            for index, part in enumerate(parts):
                if body.complete:
                    return body.data, body.rest + b"".join(parts[index:])
                body.feed(part)
        except Exception as exc:
            return type(exc)
        return (body.data, body.rest) if body.complete else None

    assert read([data]) == read([data[i : i + 1] for i in range(len(data))]) == read(pieces)


@given(st.binary(max_size=300))
def test_garbage_is_refused_or_incomplete(data):
    for make in (RequestParser, ResponseParser):
        outcome = run(make(), [data])
        assert outcome is None or isinstance(outcome, type)
        assert run(make(), cut(data, [7, 50])) == outcome
