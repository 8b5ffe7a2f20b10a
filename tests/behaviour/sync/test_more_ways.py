"""TLS, Unix sockets, routing, broadcasts."""

from __future__ import annotations

import ssl
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
from werkzeug.routing import Map, Rule

from .ends import Call, accepting, echo, ends, running, serving, url
from .ends import wait_until_closed as stay
from .library import SyncLibrary

# -- TLS


@dataclass
class Certificates:
    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    """A server context for ``localhost`` and 127.0.0.1, and a client context that trusts it."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return Certificates(server, client)


def test_tls(lib: SyncLibrary, certificates: Certificates) -> None:
    with serving(lib, echo, ssl=certificates.server) as server:
        with lib.connect(url(server, scheme="wss"), ssl=certificates.client) as client:
            for message in ("hello", b"\x00" * 300_000, "x" * 100_000):
                client.send(message)
                assert client.recv(timeout=5) == message
        assert client.close_code == 1000


def test_tls_in_several_threads(lib: SyncLibrary, certificates: Certificates) -> None:
    with serving(lib, echo, ssl=certificates.server) as server:
        with lib.connect(url(server, scheme="wss"), ssl=certificates.client) as client:
            sending = [
                Call(lambda name=name: [client.send(name * 3000) for _ in range(50)])
                for name in "abc"
            ]
            received = [client.recv(timeout=5) for _ in range(150)]
            for call in sending:
                call.result()
            assert sorted(set(received)) == [n * 3000 for n in "abc"]


def test_tls_distrusted(lib: SyncLibrary, certificates: Certificates) -> None:
    with serving(lib, echo, ssl=certificates.server) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            lib.connect(url(server, scheme="wss"))


def test_tls_server_hostname(lib: SyncLibrary, certificates: Certificates) -> None:
    with serving(lib, echo, ssl=certificates.server) as server:
        address = url(server, scheme="wss")
        with lib.connect(address, ssl=certificates.client, server_hostname="localhost"):
            pass
        with pytest.raises(ssl.SSLCertVerificationError):
            lib.connect(address, ssl=certificates.client, server_hostname="other.example")


def test_tls_without_wss(lib: SyncLibrary, certificates: Certificates) -> None:
    with pytest.raises(ValueError, match="ssl argument is incompatible with a ws:// URI"):
        lib.connect("ws://localhost/", ssl=certificates.client)


# -- Unix sockets


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "socket"


@pytest.mark.parametrize("kind", [Path, str])
def test_unix(lib: SyncLibrary, path: Path, kind: Any) -> None:
    with running(lib.unix_serve(echo, kind(path))):
        with lib.unix_connect(kind(path)) as client:
            client.send("hello")
            assert client.recv(timeout=5) == "hello"
            assert client.request.headers["Host"] == "localhost"
        with lib.unix_connect(kind(path), "ws://other.example/path") as client:
            assert client.request.path == "/path"


def test_unix_tls(lib: SyncLibrary, path: Path, certificates: Certificates) -> None:
    with running(lib.unix_serve(echo, path, ssl=certificates.server)):
        with lib.unix_connect(path, ssl=certificates.client) as client:
            client.send("hello")
            assert client.recv(timeout=5) == "hello"


def test_unix_reconnect(lib: SyncLibrary, path: Path) -> None:
    with running(lib.unix_serve(echo, path)):
        for client in lib.unix_reconnect(path):
            client.send("hello")
            assert client.recv(timeout=5) == "hello"
            break
        with lib.unix_connect(path, legacy=False) as client:
            assert isinstance(client, lib.ClientConnection)


def test_unix_without_path(lib: SyncLibrary) -> None:
    with pytest.raises(ValueError, match="path"):
        lib.unix_connect()
    with pytest.raises(ValueError, match="path"):
        lib.unix_serve(echo)


# -- routing


def user(connection: Any, name: str) -> None:
    connection.send(f"user {name}")


def number(connection: Any, value: int) -> None:
    connection.send(f"number {value!r}")


def url_map() -> Map:
    return Map(
        [
            Rule("/user/<name>", endpoint=user),
            Rule("/number/<int:value>", endpoint=number),
            Rule("/old", redirect_to="/number/1"),
        ]
    )


def test_route(lib: SyncLibrary) -> None:
    with running(lib.route(url_map(), "127.0.0.1", 0)) as server:
        for route, answer in [
            ("/user/me", "user me"),
            ("/number/7?x=y", "number 7"),
            ("/old", "number 1"),
        ]:
            with lib.connect(url(server, route)) as client:
                assert client.recv(timeout=5) == answer
        with pytest.raises(lib.InvalidStatus) as caught:
            lib.connect(url(server, "/nowhere"))
        assert caught.value.response.status_code == 404


def test_route_asks_process_request_first(lib: SyncLibrary) -> None:
    def process_request(connection: Any, request: Any) -> Any:
        return connection.respond(403, "no") if request.path == "/user/evil" else None

    with running(lib.route(url_map(), "127.0.0.1", 0, process_request=process_request)) as server:
        with lib.connect(url(server, "/user/good")) as client:
            assert client.recv(timeout=5) == "user good"
        with pytest.raises(lib.InvalidStatus) as caught:
            lib.connect(url(server, "/user/evil"))
        assert caught.value.response.status_code == 403


def test_route_server_name_and_scheme(lib: SyncLibrary) -> None:
    """What redirects say to clients behind a proxy."""
    options = {"server_name": "www.example.com", "ssl": True}
    with running(lib.route(url_map(), "127.0.0.1", 0, **options)) as server:
        with pytest.raises(Exception) as caught:
            lib.connect(url(server, "/old"), open_timeout=2, sock=_dial(server))
        assert "wss://www.example.com/number/1" in str(caught.value)


def _dial(server: Any) -> Any:
    import socket

    return socket.create_connection(server.socket.getsockname())


def test_route_create_router(lib: SyncLibrary) -> None:
    class Mine(lib.Router):  # type: ignore[name-defined, misc]
        def not_found(self, connection: Any) -> Any:
            return connection.respond(410, "gone")

    with running(lib.route(url_map(), "127.0.0.1", 0, create_router=Mine)) as server:
        with pytest.raises(lib.InvalidStatus) as caught:
            lib.connect(url(server, "/nowhere"))
        assert caught.value.response.status_code == 410


def test_unix_route(lib: SyncLibrary, path: Path) -> None:
    with running(lib.unix_route(url_map(), path)):
        with lib.unix_connect(path, "ws://localhost/user/me") as client:
            assert client.recv(timeout=5) == "user me"


# -- broadcasts


@pytest.mark.parametrize(
    ("message", "text", "expected"),
    [("é", None, "é"), (b"ab", None, b"ab"), ("é", False, "é".encode()), (b"ab", True, "ab")],
)
def test_broadcast(lib: SyncLibrary, message: Any, text: bool | None, expected: Any) -> None:
    with accepting(lib) as (server, accepted):
        with lib.connect(url(server)) as first, lib.connect(url(server)) as second:
            for _ in range(2):
                accepted.get(timeout=5)
            lib.broadcast(server.connections, message, text=text)
            assert [first.recv(timeout=5), second.recv(timeout=5)] == [expected] * 2


def test_broadcast_by_clients(lib: SyncLibrary) -> None:
    with ends(lib) as (first, first_remote), ends(lib) as (second, second_remote):
        lib.broadcast([first, second], "to all", max_workers=2)
        assert first_remote.recv(timeout=5) == second_remote.recv(timeout=5) == "to all"


def test_broadcast_skips_those_that_are_closed(lib: SyncLibrary) -> None:
    with ends(lib) as (first, _), ends(lib) as (second, second_remote):
        first.close()
        lib.broadcast([first, second], "to all", raise_exceptions=True)
        assert second_remote.recv(timeout=5) == "to all"


@pytest.mark.parametrize("message", [42, ["a"], None])
def test_broadcast_wrong_type(lib: SyncLibrary, message: Any) -> None:
    with ends(lib) as (local, _), pytest.raises(TypeError):
        lib.broadcast([local], message)


def test_broadcast_wrong_option(lib: SyncLibrary) -> None:
    with pytest.raises(TypeError):
        lib.broadcast([], "message", no_such_option=1)


def test_broadcast_in_a_handler(lib: SyncLibrary) -> None:
    ready = threading.Barrier(2)

    def handler(connection: Any) -> None:
        if connection.request.path == "/speaker":
            ready.wait(5)
            lib.broadcast(server.connections, connection.recv())
        else:
            ready.wait(5)
        stay(connection)

    with serving(lib, handler) as server:
        with (
            lib.connect(url(server, "/speaker")) as speaker,
            lib.connect(url(server)) as listener,
        ):
            speaker.send("news")
            assert listener.recv(timeout=5) == speaker.recv(timeout=5) == "news"
