"""``Publisher`` against servers that answer as they should, and against others."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from duologue.base.exceptions import PublishError
from duologue.hub.publisher import Publisher

JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def ok(*positions: int, more: bytes = b"") -> bytes:
    body = json.dumps({"positions": positions}).encode()
    return JSON + more + b"Content-Length: %d\r\n\r\n" % len(body) + body


class Server:
    """Answers connections with what it was given: one list of answers for each connection."""

    def __init__(self, *answers: list[bytes]) -> None:
        self.answers = list(answers)
        self.requests: list[list[bytes]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for answers in self.answers:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.requests.append([])
            with sock:
                for answer in answers:
                    if not (request := self._read(sock)):
                        break
                    self.requests[-1].append(request)
                    sock.sendall(answer)
                else:
                    if not answers or answers[-1].startswith(b"HTTP/1.1 200"):
                        continue
                    sock.recv(1)

    def _read(self, sock: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            got = sock.recv(65536)
            if not got:
                return b""
            data += got
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += sock.recv(65536)
        return head + b"\r\n\r\n" + body

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


@pytest.fixture(name="serve")
def _serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def serve(*answers: list[bytes]) -> Server:
        servers.append(Server(*answers))
        return servers[-1]

    yield serve
    for server in servers:
        server.close()


@pytest.fixture(name="publish", params=["sync", "async"])
def _publish(request: pytest.FixtureRequest) -> Callable[..., list[int]]:
    """Publish several messages by either face, one after the other."""

    def publish(publisher: Publisher, *batches: Any, keep: bool = False) -> list[Any]:
        if request.param == "sync":
            with publisher if keep else contextlib.nullcontext():
                return [publisher.publish_many(batch) for batch in batches]

        async def main() -> list[Any]:
            async with publisher if keep else contextlib.nullcontext():
                return [await publisher.apublish_many(batch) for batch in batches]

        return asyncio.run(main())

    return publish


def test_what_is_sent(serve: Any, publish: Any) -> None:
    server = serve([ok(1, 2, 3)])
    publisher = Publisher(server.url, token="s3cret")
    messages = [("a", "é"), ("b", b"\xff"), ("c", memoryview(b"x"))]
    assert publish(publisher, messages) == [[1, 2, 3]]
    head, _, body = server.requests[0][0].partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"POST /publish HTTP/1.1",
        b"Host: " + server.url.removeprefix("http://").encode(),
        b"Authorization: Bearer s3cret",
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
    ]
    assert json.loads(body) == [
        {"topic": "a", "message": "é"},
        {"topic": "b", "base64": "/w=="},
        {"topic": "c", "base64": "eA=="},
    ]


def test_one_message(serve: Any) -> None:
    server = serve([ok(5)], [ok(6)])
    publisher = Publisher(f"{server.url}/hooks/publish?x=1", token="t")
    assert publisher.publish("a", "1") == 5
    assert asyncio.run(publisher.apublish("a", "2")) == 6
    for requests in server.requests:
        assert requests[0].startswith(b"POST /hooks/publish?x=1 HTTP/1.1\r\n")


@pytest.mark.parametrize("keep", [True, False])
def test_connections_are_kept_inside_of_with(serve: Any, publish: Any, keep: bool) -> None:
    server = serve([ok(1), ok(2)], [ok(2)]) if not keep else serve([ok(1), ok(2)])
    publisher = Publisher(server.url, token="t")
    assert publish(publisher, [("a", "1")], [("a", "2")], keep=keep) == [[1], [2]]
    assert [len(requests) for requests in server.requests] == ([2] if keep else [1, 1])


def test_a_connection_that_the_server_closed_meanwhile(serve: Any, publish: Any) -> None:
    server = serve([ok(1, more=b"Connection: close\r\n")], [ok(2)], [ok(3)])
    publisher = Publisher(server.url, token="t")
    messages = [[("a", "1")], [("a", "2")]]
    assert publish(publisher, *messages, keep=True) == [[1], [2]]


def test_an_idle_connection_that_has_ended(serve: Any) -> None:
    server = serve([ok(1)], [ok(2)])
    publisher = Publisher(server.url, token="t")
    with publisher:
        assert publisher.publish("a", "1") == 1
        assert publisher._sock is not None
        publisher._sock.setblocking(True)
        assert publisher._sock.recv(1, socket.MSG_PEEK) == b""
        assert publisher.publish("a", "2") == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_has_a_connection_and_a_lock_of_its_own(serve: Any) -> None:
    server = serve([ok(1), ok(2)], [ok(3)])
    with Publisher(server.url, token="t") as publisher:
        assert publisher.publish("a", "1") == 1
        # As if another thread were publishing now: the child doesn't have that thread.
        with publisher._lock:
            child = os.fork()
            if child == 0:
                position = 0
                with contextlib.suppress(BaseException):
                    position = publisher.publish("a", "3")
                os._exit(position)
        assert publisher.publish("a", "2") == 2
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 3


@pytest.mark.parametrize(
    ("answer", "text", "status"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno", "401: no", 401),
        (b"HTTP/1.1 503 Bad\r\nContent-Length: 0\r\n\r\n", "503", 503),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "no endpoint", 200),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<html>...", "no endpoint", 200),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "no endpoint", None),
    ],
)
def test_refusals(serve: Any, publish: Any, answer: bytes, text: str, status: int | None) -> None:
    server = serve([answer])
    with pytest.raises(PublishError, match=text) as caught:
        publish(Publisher(server.url, token="t"), [("a", "1")])
    assert caught.value.status_code == status


def test_an_answer_that_does_not_come_is_not_asked_for_again(serve: Any, publish: Any) -> None:
    server = serve([b"HTTP/1.1 200 OK\r\nContent-"], [ok(1)])
    with pytest.raises(PublishError, match="not known whether it was published"):
        publish(Publisher(server.url, token="t"), [("a", "1")])
    assert len(server.requests) == 1


def test_time_out(serve: Any, publish: Any) -> None:
    server = serve([b"HTTP/1.1 100 Continue\r\n\r\n"])
    with pytest.raises(TimeoutError):
        publish(Publisher(server.url, token="t", timeout=0.1), [("a", "1")])


def test_nobody_there(publish: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(OSError):
        publish(Publisher(f"http://127.0.0.1:{port}", token="t"), [("a", "1")])


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([("a", 1)], "str or bytes"),
        ([(b"a", "1")], "topic must be str"),
        ("ab", "pairs"),
        ({"a": "1"}, "pairs"),
    ],
)
def test_what_is_no_message_is_not_sent(publish: Any, messages: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        publish(Publisher("http://127.0.0.1:1", token="t"), messages)


@pytest.mark.parametrize("timeout", [0, -1.0])
def test_a_time_out_that_can_not_be(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout must be more than 0"):
        Publisher("http://localhost", token="t", timeout=timeout)
    with pytest.raises(TypeError, match="token"):
        Publisher("http://localhost", token=b"t")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "token", "text"),
    [
        ("ws://localhost/", "t", "URL of an endpoint"),
        ("localhost:8000", "t", "URL of an endpoint"),
        ("http://localhost", None, "needs a token"),
        ("http://localhost", "", "needs a token"),
        ("http://localhost", "a b", "printable ASCII"),
        ("http://localhost", "a\r\nb", "printable ASCII"),
        ("http://localhost", "é", "printable ASCII"),
    ],
)
def test_wrong_arguments(url: str, token: str | None, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Publisher(url, token=token)


@pytest.mark.parametrize("user_info", ["a%2Fb", ":a%2Fb"])
def test_a_token_in_the_url(serve: Any, user_info: str) -> None:
    server = serve([ok(1)])
    Publisher(server.url.replace("//", f"//{user_info}@")).publish("a", "1")
    assert b"Authorization: Bearer a/b\r\n" in server.requests[0][0]


def test_tls_options() -> None:
    context = ssl.create_default_context()
    with pytest.raises(ValueError, match="https"):
        Publisher("http://localhost", token="t", ssl=context)
    assert Publisher("https://localhost", token="t", ssl=context)._ssl is context
