"""Requests that differ in nothing but their key are kept once."""

from __future__ import annotations

import base64

from duologue.base.limits import Limits
from duologue.base.vocabulary import Side
from duologue.connection.connection import Connection
from duologue.connection.settings import Settings
from duologue.net.asyncio_link import AsyncioLink

from ..connection.rig import Wire

RESPONSE = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


def kept(request: bytes) -> Connection:
    """Return an open connection that keeps this request."""
    connection = Connection(Settings.resolve(Side.SERVER, Limits(), ping_interval=None))
    connection.keep_heads(request, RESPONSE)
    link = AsyncioLink(lambda link: None)
    link.connection_made(Wire(link))
    connection.open(link)
    return connection


def request(key: str, more: str = "") -> bytes:
    """Return a request with this key."""
    return f"GET /a HTTP/1.1\r\nSec-WebSocket-Key: {key}\r\nHost: b\r\n{more}\r\n".encode()


def read(connection: Connection) -> tuple[str, dict[str, str]]:
    """Return a request's path and headers."""
    assert connection.request is not None
    return connection.request.path, dict(connection.request.headers.raw_items())


async def test_each_has_its_own_key() -> None:
    keys = [base64.b64encode(bytes([n] * 16)).decode() for n in range(3)]
    connections = [kept(request(key)) for key in keys]
    for key, connection in zip(keys, connections, strict=True):
        assert read(connection) == ("/a", {"Sec-WebSocket-Key": key, "Host": "b"})


async def test_what_cannot_be_shared_is_kept_as_it_is() -> None:
    odd = "AAAAAAAAAAAAAAAAAAAAAB=="  # not what encoding its octets gives
    for key in (odd, "short==", "x" * 24):
        assert read(kept(request(key)))[1]["Sec-WebSocket-Key"] == key
    long = "a" * 3000
    key = base64.b64encode(bytes(16)).decode()
    assert read(kept(request(key, f"Long: {long}\r\n")))[1]["Long"] == long


async def test_many_kinds_of_requests() -> None:
    key = base64.b64encode(bytes(range(16))).decode()
    connections = [kept(request(key, f"Number: {n}\r\n")) for n in range(100)]
    for number, connection in enumerate(connections):
        assert read(connection)[1] == {
            "Sec-WebSocket-Key": key, "Host": "b", "Number": str(number),
        }  # fmt: skip
