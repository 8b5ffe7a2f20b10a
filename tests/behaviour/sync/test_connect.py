"""Connecting: forms of ``connect``, options, failures, redirects, reconnecting."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from ..ends import upgrade_response
from .ends import RawPeer, accepting, ends, raw_server, serving, url
from .ends import wait_until_closed as stay
from .library import SyncLibrary


def test_context_manager(lib: SyncLibrary) -> None:
    with accepting(lib) as (server, accepted):
        with lib.connect(url(server)) as client:
            assert isinstance(client, lib.ClientConnection)
        assert client.state is lib.State.CLOSED
        connection = accepted.get(timeout=5)
        connection.wait_closed()
        assert connection.close_code == 1000


def test_without_context_manager(lib: SyncLibrary) -> None:
    with serving(lib, stay) as server:
        client = lib.connect(url(server), legacy=True)
        assert client.state is lib.State.OPEN
        client.close()


def test_legacy_false_gives_a_reconnect(lib: SyncLibrary) -> None:
    with serving(lib, stay) as server:
        connecter = lib.connect(url(server), legacy=False)
        assert isinstance(connecter, lib.reconnect)
        with connecter as client:
            assert isinstance(client, lib.ClientConnection)


@pytest.mark.parametrize("uri", ["http://localhost/", "ws://", "localhost", "ws://host:port/"])
def test_wrong_uri(lib: SyncLibrary, uri: str) -> None:
    with pytest.raises((lib.InvalidURI, ValueError)):
        lib.connect(uri)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"compression": False}, ValueError),
        ({"subprotocols": "chat"}, TypeError),
        ({"no_such_option": 1}, TypeError),
        ({"ssl": True}, ValueError),
    ],
)
def test_wrong_options(lib: SyncLibrary, options: dict[str, Any], error: type[Exception]) -> None:
    with serving(lib, stay) as server, pytest.raises(error):
        lib.connect(url(server), **options)


def test_nobody_listens(lib: SyncLibrary) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        lib.connect(f"ws://127.0.0.1:{port}/")


def test_headers(lib: SyncLibrary) -> None:
    with accepting(lib) as (server, accepted):
        with lib.connect(
            url(server),
            origin="https://example.com",
            additional_headers={"X-Mine": "yes"},
            user_agent_header="Me/1",
        ):
            headers = accepted.get(timeout=5).request.headers
    assert (headers["Origin"], headers["X-Mine"]) == ("https://example.com", "yes")
    assert headers["User-Agent"] == "Me/1"


def test_no_user_agent(lib: SyncLibrary) -> None:
    with ends(lib, user_agent_header=None) as (_, remote):
        assert "User-Agent" not in remote.request.headers


def test_preexisting_socket(lib: SyncLibrary) -> None:
    with serving(lib, stay) as server:
        sock = socket.create_connection(server.socket.getsockname())
        with lib.connect("ws://localhost/", sock=sock) as client:
            assert client.request.headers["Host"] == "localhost"


def test_address_instead_of_the_uris(lib: SyncLibrary) -> None:
    with accepting(lib) as (server, accepted):
        address = server.socket.getsockname()[:2]
        with lib.connect("ws://other.example/", address=address):
            assert accepted.get(timeout=5).request.headers["Host"] == "other.example"


def test_source_address(lib: SyncLibrary) -> None:
    with ends(lib, source_address=("127.0.0.2", 0)) as (_, remote):
        assert remote.remote_address[0] == "127.0.0.2"


def test_open_timeout(lib: SyncLibrary) -> None:
    def conversation(peer: RawPeer) -> None:
        peer.read_head()
        peer.read(1)

    with raw_server(conversation) as address:
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            lib.connect(address, open_timeout=0.2)
        assert time.monotonic() - begun < 4


def test_no_http(lib: SyncLibrary) -> None:
    def conversation(peer: RawPeer) -> None:
        peer.read_head()
        peer.send_octets(b"220 smtp.example ESMTP\r\n")

    with raw_server(conversation) as address, pytest.raises(lib.InvalidMessage):
        lib.connect(address)


def test_refused_with_a_body(lib: SyncLibrary) -> None:
    def conversation(peer: RawPeer) -> None:
        peer.read_head()
        peer.send_octets(b"HTTP/1.1 418 Teapot\r\nContent-Length: 5\r\n\r\nshort")

    with raw_server(conversation) as address, pytest.raises(lib.InvalidStatus) as caught:
        lib.connect(address)
    assert (caught.value.response.status_code, caught.value.response.body) == (418, b"short")


def test_messages_with_the_response(lib: SyncLibrary) -> None:
    def conversation(peer: RawPeer) -> None:
        peer.send_octets(upgrade_response(peer.read_head()) + b"\x81\x05early")
        peer.answer_close()

    with raw_server(conversation) as address, lib.connect(address) as client:
        assert client.recv(timeout=5) == "early"


def test_redirect(lib: SyncLibrary) -> None:
    with accepting(lib) as (server, accepted):

        def conversation(peer: RawPeer) -> None:
            peer.read_head()
            location = url(server, "/there")
            peer.send_octets(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n".encode())

        with raw_server(conversation) as address, lib.connect(address):
            assert accepted.get(timeout=5).request.path == "/there"


def test_create_connection(lib: SyncLibrary) -> None:
    class Mine(lib.ClientConnection):  # type: ignore[name-defined, misc]
        mark = "mine"

    with ends(lib, create_connection=Mine) as (local, _):
        assert local.mark == "mine"


# -- reconnecting


def test_reconnect_yields_a_new_connection_each_time(lib: SyncLibrary) -> None:
    def handler(connection: Any) -> None:
        connection.send(connection.recv())

    with serving(lib, handler) as server:
        answers = []
        for client in lib.reconnect(url(server)):
            client.send(str(len(answers)))
            answers.append(client.recv(timeout=5))
            if len(answers) == 3:
                break
        assert answers == ["0", "1", "2"]
        assert client.wait_closed(5)


def test_reconnect_after_failures(lib: SyncLibrary) -> None:
    """Delays are those given; they are waited for after failures that pass."""
    refusals = []

    def process_request(connection: Any, request: Any) -> Any:
        if len(refusals) < 2:
            refusals.append(request)
            return connection.respond(503, "not yet\n")
        return None

    delays = iter([0.01, 0.02, 100.0])

    def make() -> Any:
        yield from delays

    with serving(lib, stay, process_request=process_request) as server:
        for client in lib.reconnect(url(server), reconnect_delays=make):
            client.close()
            break
    assert len(refusals) == 2
    assert next(delays) == 100.0


def test_reconnect_gives_up_on_lasting_failures(lib: SyncLibrary) -> None:
    def process_request(connection: Any, request: Any) -> Any:
        return connection.respond(403, "never\n")

    with serving(lib, stay, process_request=process_request) as server:
        with pytest.raises(lib.InvalidStatus):
            for _ in lib.reconnect(url(server)):
                pytest.fail("connected")


def test_reconnect_asks_process_exception(lib: SyncLibrary) -> None:
    def process_exception(exc: Exception) -> Exception:
        return LookupError(f"instead of {type(exc).__name__}")

    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    with pytest.raises(LookupError, match="instead of ConnectionRefusedError"):
        for _ in lib.reconnect(f"ws://127.0.0.1:{port}/", process_exception=process_exception):
            pytest.fail("connected")


def test_reconnect_is_not_reentrant(lib: SyncLibrary) -> None:
    with serving(lib, stay) as server:
        connecter = lib.reconnect(url(server))
        with connecter, pytest.raises(RuntimeError):
            connecter.__enter__()
