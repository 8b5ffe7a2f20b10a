"""The HTTP/1.1 exchange against h11 as an independent client."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import h11
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.protocol import Request, Response, ServerExchange
from duologue.wire.headers import Headers


@dataclass
class Asked:
    """A request as h11 will send it."""

    method: str
    path: str
    body: bytes
    chunks: list[int] | None
    close: bool


def asked_strategy() -> st.SearchStrategy[Asked]:
    return st.builds(
        Asked,
        method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "OPTIONS"]),
        path=st.from_regex(r"/[a-z0-9%?=]{0,20}", fullmatch=True),
        body=st.binary(max_size=200),
        chunks=st.one_of(st.none(), st.lists(st.integers(1, 50), max_size=4)),
        close=st.booleans(),
    )


answers = st.tuples(
    st.sampled_from([200, 204, 304, 404, 500]), st.binary(max_size=100), st.booleans()
)


def write(asked: Asked, client: h11.Connection) -> bytes:
    headers = [("Host", "example.com")]
    if asked.close:
        headers.append(("Connection", "close"))
    if asked.chunks is None:
        headers.append(("Content-Length", str(len(asked.body))))
        pieces = [asked.body]
    else:
        headers.append(("Transfer-Encoding", "chunked"))
        edges = [0, *itertools.accumulate(asked.chunks), len(asked.body)]
        pieces = [asked.body[begin:stop] for begin, stop in itertools.pairwise(edges)]
        pieces[-1] = asked.body[sum(map(len, pieces[:-1])) :]
    head = h11.Request(method=asked.method, target=asked.path, headers=headers)
    out = [client.send(head)]
    out += [client.send(h11.Data(data=piece)) for piece in pieces if piece]
    out.append(client.send(h11.EndOfMessage()))
    return b"".join(piece for piece in out if piece is not None)


def read(octets: bytes, client: h11.Connection) -> tuple[int, bytes, bool]:
    """Let h11 read one answer; everything of it must be used up."""
    client.receive_data(octets)
    response = client.next_event()
    assert isinstance(response, h11.Response)
    assert dict(response.headers)[b"date"].endswith(b" GMT")
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert client.trailing_data[0] == b""
    closes = client.their_state is h11.MUST_CLOSE or client.our_state is h11.MUST_CLOSE
    return response.status_code, body, closes


def pieces_of(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(data)}), len(data)]
    return [data[begin:stop] for begin, stop in itertools.pairwise(edges)]


cut_lists = st.one_of(
    st.just([]), st.just(list(range(2000))), st.lists(st.integers(1, 1000), max_size=6)
)


@given(
    talk=st.lists(st.tuples(asked_strategy(), answers), min_size=1, max_size=5),
    cuts=cut_lists,
    pipelined=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_h11_and_we_understand_each_other(
    talk: list[tuple[Asked, tuple[int, bytes, bool]]], cuts: list[int], pipelined: bool
) -> None:
    exchange = ServerExchange()
    clients = [h11.Connection(h11.CLIENT) for _ in talk]
    written = [write(asked, client) for (asked, _), client in zip(talk, clients, strict=True)]
    if pipelined:
        # All requests at once, cut anywhere; h11 reads each answer on its own connection.
        for piece in pieces_of(b"".join(written), cuts):
            exchange.receive(piece)
    for (asked, (status, body, closes)), client, data in zip(talk, clients, written, strict=True):
        request: Request | None = None
        for piece in [b""] if pipelined else pieces_of(data, cuts):
            exchange.receive(piece)
            request = request or exchange.next_request()
        assert request is not None
        assert (request.method, request.path) == (asked.method, asked.path)
        headers = Headers([("Connection", "close")] if closes else [])
        octets = exchange.respond(request, Response(status, "x", headers, body))
        bodiless = asked.method == "HEAD" or status in (204, 304)
        seen = read(octets, client)
        assert seen == (status, b"" if bodiless else body, asked.close or closes)
        assert exchange.keep_alive is not seen[2]
        if not exchange.keep_alive:
            exchange.receive(data)
            assert exchange.next_request() is None
            return
    assert exchange.idle
    assert exchange.next_request() is None


@given(noise=st.binary(max_size=200), cuts=cut_lists)
@settings(max_examples=200, deadline=None)
def test_noise_is_refused_or_waited_for(noise: bytes, cuts: list[int]) -> None:
    exchange = ServerExchange()
    for piece in pieces_of(noise, cuts):
        exchange.receive(piece)
        try:
            assert exchange.next_request() is None
        except Exception as exc:
            status = int(exchange.refuse(exc).split(b" ", 2)[1])
            assert 400 <= status < 500 or status in (501, 505)
            assert not exchange.keep_alive
            return
    exchange.receive_eof()
    if noise.strip(b"\r\n"):
        try:
            exchange.next_request()
        except Exception as exc:
            assert exchange.refuse(exc).startswith(b"HTTP/1.1 400 ")
            return
        raise AssertionError("the end of the stream within a request went unnoticed")
