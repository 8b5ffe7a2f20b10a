"""Serving: the Server object, the life of handlers, hooks of the opening handshake."""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from typing import Any

import pytest

from ..ends import upgrade_request
from .ends import Call, accepting, echo, ends, raw_client, running, serving, until, url
from .ends import wait_until_closed as stay
from .library import SyncLibrary


def test_echo(lib: SyncLibrary) -> None:
    with serving(lib, echo) as server, lib.connect(url(server)) as client:
        assert isinstance(server, lib.Server)
        for message in ("hello", b"\x00\xff"):
            client.send(message)
            assert client.recv(timeout=5) == message


def test_fileno_and_socket(lib: SyncLibrary) -> None:
    with lib.serve(echo, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        assert server.fileno() == server.socket.fileno() > 0
        assert server.socket.getsockname()[0] == "127.0.0.1"
    thread.join()
    assert server.fileno() == -1


def test_host_and_port_by_keyword(lib: SyncLibrary) -> None:
    with running(lib.serve(echo, host="127.0.0.1", port=0)) as server:
        with lib.connect(url(server)):
            pass


def test_preexisting_socket(lib: SyncLibrary) -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    with running(lib.serve(echo, sock=sock)) as server:
        assert server.socket is sock
        with lib.connect(url(server)) as client:
            client.send("hello")
            assert client.recv(timeout=5) == "hello"


@pytest.mark.parametrize("given", [{"host": "127.0.0.1"}, {"port": 0}, {"path": "somewhere"}])
def test_socket_and_address(lib: SyncLibrary, given: dict[str, Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        with pytest.raises(ValueError, match="incompatible with sock"):
            lib.serve(echo, sock=sock, **given)


def test_address_in_use(lib: SyncLibrary) -> None:
    with serving(lib, echo) as server:
        with pytest.raises(OSError):
            lib.serve(echo, "127.0.0.1", server.socket.getsockname()[1])


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"compression": False}, ValueError),
        ({"subprotocols": "chat"}, TypeError),
        ({"no_such_option": 1}, TypeError),
    ],
)
def test_wrong_options(lib: SyncLibrary, options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        lib.serve(echo, "127.0.0.1", 0, **options)


def test_handlers_run_in_threads_of_their_own(lib: SyncLibrary) -> None:
    seen = []

    def handler(connection: Any) -> None:
        seen.append(threading.current_thread())
        assert threading.current_thread() in server.handler_threads
        echo(connection)

    with serving(lib, handler) as server:
        with lib.connect(url(server)) as first, lib.connect(url(server)) as second:
            for client in (first, second):
                client.send("hello")
                assert client.recv(timeout=5) == "hello"
            assert len(set(seen)) == 2
            assert not any(thread.daemon for thread in seen)
        until(lambda: not server.handler_threads)


def test_a_handler_that_waits_holds_up_nobody(lib: SyncLibrary) -> None:
    blocked = threading.Event()

    def handler(connection: Any) -> None:
        if connection.request.path == "/blocked":
            blocked.wait(10)
        echo(connection)

    with serving(lib, handler) as server:
        with lib.connect(url(server, "/blocked")) as first, lib.connect(url(server)) as second:
            second.send("hello")
            assert second.recv(timeout=5) == "hello"
            assert first.ping().wait(5)
            blocked.set()


def test_return_closes_with_1000(lib: SyncLibrary) -> None:
    with serving(lib, lambda connection: None) as server, lib.connect(url(server)) as client:
        with pytest.raises(lib.ConnectionClosedOK):
            client.recv(timeout=5)
        assert client.close_code == 1000


def test_exception_closes_with_1011(lib: SyncLibrary, caplog: pytest.LogCaptureFixture) -> None:
    def handler(connection: Any) -> None:
        raise ZeroDivisionError("oops")

    with serving(lib, handler) as server, lib.connect(url(server)) as client:
        with pytest.raises(lib.ConnectionClosedError):
            client.recv(timeout=5)
        assert client.close_code == 1011
    assert "connection handler failed" in caplog.text


def test_handler_goes_on_after_the_connection_has_closed(lib: SyncLibrary) -> None:
    ended = threading.Event()

    def handler(connection: Any) -> None:
        connection.wait_closed()
        ended.set()

    with serving(lib, handler) as server:
        with lib.connect(url(server)):
            assert not ended.is_set()
        assert ended.wait(5)


def test_connections(lib: SyncLibrary) -> None:
    with accepting(lib) as (server, accepted):
        assert server.connections == set()
        with lib.connect(url(server)):
            connection = accepted.get(timeout=5)
            assert server.connections == {connection}
        until(lambda: server.connections == set())


def test_shutdown_closes_connections(lib: SyncLibrary) -> None:
    with serving(lib, stay) as server, lib.connect(url(server)) as client:
        server.shutdown()
        assert client.wait_closed(timeout=5)
        assert client.close_code == 1001
        with pytest.raises(OSError):
            lib.connect(url_of_closed(client))


def url_of_closed(client: Any) -> str:
    """Where the client was connected to."""
    return f"ws://{client.request.headers['Host']}/"


def test_shutdown_with_code_and_reason(lib: SyncLibrary) -> None:
    with serving(lib, stay) as server, lib.connect(url(server)) as client:
        server.shutdown(code=1012, reason="restart")
        assert (client.close_code, client.close_reason) == (1012, "restart")


def test_shutdown_that_lets_connections_live(lib: SyncLibrary) -> None:
    with serving(lib, echo) as server, lib.connect(url(server)) as client:
        call = Call(server.shutdown, False)
        assert call.waits(0.2)
        client.send("still here")
        assert client.recv(timeout=5) == "still here"
        client.close()
        call.result()


def test_shutdown_again(lib: SyncLibrary) -> None:
    with serving(lib, echo) as server:
        server.shutdown()
        server.shutdown()


def test_shutdown_waits_for_handlers(lib: SyncLibrary) -> None:
    go_on = threading.Event()

    def handler(connection: Any) -> None:
        connection.wait_closed()
        go_on.wait(10)

    with serving(lib, handler) as server, lib.connect(url(server)):
        call = Call(server.shutdown)
        assert call.waits(0.3)
        go_on.set()
        call.result()


def test_shutdown_answers_handshakes_under_way_with_503(lib: SyncLibrary) -> None:
    asked, answer = threading.Event(), threading.Event()

    def process_request(connection: Any, request: Any) -> None:
        asked.set()
        answer.wait(10)

    with serving(lib, echo, process_request=process_request) as server:
        connecting = Call(lib.connect, url(server), legacy=True)
        assert asked.wait(5)
        call = Call(server.shutdown)
        assert call.waits(0.1)
        answer.set()
        with pytest.raises(lib.InvalidStatus) as caught:
            connecting.result()
        assert caught.value.response.status_code == 503
        call.result()


def test_shutdown_in_a_handler(lib: SyncLibrary) -> None:
    outcome = []

    def handler(connection: Any) -> None:
        try:
            server.shutdown(close_connections=False)
        except RuntimeError as exc:
            outcome.append(exc)

    with serving(lib, handler) as server, lib.connect(url(server)) as client:
        with pytest.raises(lib.ConnectionClosed):
            client.recv(timeout=5)
        until(lambda: len(outcome) == 1)


def test_log(lib: SyncLibrary, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("my server")
    with caplog.at_level(logging.INFO):
        with serving(lib, echo, logger=logger) as server, lib.connect(url(server)):
            port = server.socket.getsockname()[1]
    lines = [record.message for record in caplog.records if record.name == "my server"]
    for line in (f"server listening on 127.0.0.1:{port}", "connection open", "server closed"):
        assert line in lines


# -- hooks


def test_process_request_refuses(lib: SyncLibrary) -> None:
    def process_request(connection: Any, request: Any) -> Any:
        if request.path != "/open":
            response = connection.respond(403, f"not {request.path}\n")
            response.headers["X-Why"] = "because"
            return response
        return None

    with serving(lib, echo, process_request=process_request) as server:
        with pytest.raises(lib.InvalidStatus) as caught:
            lib.connect(url(server, "/other"))
        response = caught.value.response
        assert (response.status_code, response.body) == (403, b"not /other\n")
        assert response.headers["X-Why"] == "because"
        with lib.connect(url(server, "/open")) as client:
            client.send("hello")
            assert client.recv(timeout=5) == "hello"


def test_process_request_may_wait(lib: SyncLibrary) -> None:
    """A hook that waits holds up its own connection only."""
    release = threading.Event()

    def process_request(connection: Any, request: Any) -> None:
        if request.path == "/slow":
            release.wait(10)

    with serving(lib, echo, process_request=process_request) as server:
        slow = Call(lib.connect, url(server, "/slow"), legacy=True)
        with lib.connect(url(server)) as client:
            client.send("hello")
            assert client.recv(timeout=5) == "hello"
        assert slow.waits(0.05)
        release.set()
        slow.result().close()


def test_hooks_and_handler_share_a_thread(lib: SyncLibrary) -> None:
    seen = []

    def note(*args: Any) -> None:
        seen.append(threading.current_thread())

    with serving(lib, note, process_request=note, process_response=note) as server:
        with lib.connect(url(server)) as client:
            with pytest.raises(lib.ConnectionClosedOK):
                client.recv(timeout=5)
    assert len(seen) == 3
    assert len(set(seen)) == 1


@pytest.mark.parametrize("hook", ["process_request", "process_response"])
def test_a_hook_that_raises(lib: SyncLibrary, hook: str, caplog: pytest.LogCaptureFixture) -> None:
    def failing(*args: Any) -> None:
        raise ZeroDivisionError("oops")

    with serving(lib, echo, **{hook: failing}) as server:
        with pytest.raises(lib.InvalidStatus) as caught:
            lib.connect(url(server))
        assert caught.value.response.status_code == 500
    assert f"{hook} failed" in caplog.text


def test_process_response(lib: SyncLibrary) -> None:
    def process_response(connection: Any, request: Any, response: Any) -> None:
        response.headers["X-Path"] = request.path

    with serving(lib, echo, process_response=process_response) as server:
        with lib.connect(url(server, "/here")) as client:
            assert client.response.headers["X-Path"] == "/here"


def test_hooks_leave_attributes_for_the_handler(lib: SyncLibrary) -> None:
    def process_request(connection: Any, request: Any) -> None:
        connection.note = "left by the hook"

    def handler(connection: Any) -> None:
        connection.send(connection.note)

    with serving(lib, handler, process_request=process_request) as server:
        with lib.connect(url(server)) as client:
            assert client.recv(timeout=5) == "left by the hook"


def test_select_subprotocol(lib: SyncLibrary) -> None:
    def select(connection: Any, offered: Any) -> Any:
        assert isinstance(connection, lib.ServerConnection)
        return offered[-1]

    with serving(lib, stay, subprotocols=["a", "b"], select_subprotocol=select) as server:
        with lib.connect(url(server), subprotocols=["a", "b"]) as client:
            assert client.subprotocol == "b"


def test_subprotocols(lib: SyncLibrary) -> None:
    with ends(lib, subprotocols=["x", "b"], remote={"subprotocols": ["a", "b"]}) as (local, remote):
        assert local.subprotocol == remote.subprotocol == "b"


def test_origins(lib: SyncLibrary) -> None:
    origins = ["https://a.example", re.compile(r"https://.*\.b\.example")]
    with serving(lib, stay, origins=origins) as server:
        for origin in ("https://a.example", "https://www.b.example"):
            with lib.connect(url(server), origin=origin):
                pass
        with pytest.raises(lib.InvalidStatus) as caught:
            lib.connect(url(server), origin="https://evil.example")
        assert caught.value.response.status_code == 403


@pytest.mark.parametrize("header", [None, "My Server/1.0"])
def test_server_header(lib: SyncLibrary, header: str | None) -> None:
    with serving(lib, stay, server_header=header) as server, lib.connect(url(server)) as client:
        assert client.response.headers.get("Server") == header


def test_compression_is_negotiated(lib: SyncLibrary) -> None:
    with ends(lib) as (local, remote):
        assert "permessage-deflate" in local.response.headers["Sec-WebSocket-Extensions"]
        local.send("compressible " * 1000)
        assert remote.recv(timeout=5) == "compressible " * 1000
    with ends(lib, remote={"compression": None}) as (local, _):
        assert "Sec-WebSocket-Extensions" not in local.response.headers


def test_open_timeout(lib: SyncLibrary) -> None:
    """Who sends no request in time is let go."""
    with serving(lib, echo, open_timeout=0.2) as server:
        with socket.create_connection(server.socket.getsockname()) as sock:
            sock.settimeout(5)
            begun = time.monotonic()
            assert sock.recv(100) == b""
            assert time.monotonic() - begun < 4


def test_create_connection(lib: SyncLibrary) -> None:
    class Mine(lib.ServerConnection):  # type: ignore[name-defined, misc]
        def greet(self) -> None:
            self.send("hello")

    def handler(connection: Any) -> None:
        assert connection.server is server
        connection.greet()

    with serving(lib, handler, create_connection=Mine) as server:
        with lib.connect(url(server)) as client:
            assert client.recv(timeout=5) == "hello"


def test_no_websocket_request(lib: SyncLibrary) -> None:
    with serving(lib, echo) as server:
        with socket.create_connection(server.socket.getsockname()) as sock:
            sock.settimeout(5)
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert sock.recv(100).startswith(b"HTTP/1.1 426 ")


def test_messages_with_the_request(lib: SyncLibrary) -> None:
    """What a client sends without waiting for the response isn't lost."""
    from .ends import TEXT, RawPeer, encode_frame

    with serving(lib, echo) as server:
        with socket.create_connection(server.socket.getsockname()) as sock:
            peer = RawPeer(sock, masks=True)
            peer.send_octets(upgrade_request() + encode_frame(TEXT, b"early", mask=True))
            assert b" 101 " in peer.read_head()
            assert peer.receive().payload == b"early"


def test_a_raw_client(lib: SyncLibrary) -> None:
    with serving(lib, echo) as server, raw_client(server) as peer:
        peer.send(1, b"hello")
        assert peer.receive().payload == b"hello"
        peer.send(8, b"\x03\xe8")
        assert peer.receive_close() == (1000, "")


# -- basic auth

PAIR = ("hello", "iloveyou")


@pytest.mark.parametrize(
    "way",
    [
        {"credentials": PAIR},
        {"credentials": [("someone", "else"), PAIR]},
        {"check_credentials": lambda username, password: (username, password) == PAIR},
    ],
)
def test_basic_auth(lib: SyncLibrary, way: dict[str, Any]) -> None:
    auth = lib.basic_auth(realm="r", **way)
    with accepting(lib, process_request=auth) as (server, accepted):
        address = url(server)
        with lib.connect(address.replace("ws://", "ws://hello:iloveyou@")):
            assert accepted.get(timeout=5).username == "hello"
        for wrong in ("hello:wrong@", "wrong:iloveyou@", ""):
            with pytest.raises(lib.InvalidStatus) as caught:
                lib.connect(address.replace("ws://", f"ws://{wrong}"))
            response = caught.value.response
            assert response.status_code == 401
            assert response.headers["WWW-Authenticate"] == 'Basic realm="r", charset="UTF-8"'


@pytest.mark.parametrize(
    ("way", "error"),
    [
        ({}, ValueError),
        ({"credentials": PAIR, "check_credentials": lambda *_: True}, ValueError),
        ({"credentials": 42}, TypeError),
        ({"credentials": ["a", "b", "c"]}, TypeError),
    ],
)
def test_basic_auth_wrong(lib: SyncLibrary, way: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        lib.basic_auth(**way)
