"""The opening handshake as a server sees it: callbacks, headers, origins, subprotocols."""

from __future__ import annotations

import asyncio
import http
import re
from typing import Any

import pytest

from .ends import KEY, accepting, echo, ends, upgrade_request, url
from .library import Library


async def exchange(server: Any, request: bytes) -> tuple[bytes, bytes, bytes]:
    """Send ``request``; return status line, header lines and body of the answer."""
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    try:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        status, _, fields = head.partition(b"\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", fields)
        body = await reader.readexactly(int(length[1])) if length else b""
        return status, fields, body
    finally:
        writer.close()


# process_request.


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_process_request_lets_pass(lib: Library, asynchronous: bool) -> None:
    seen = []

    def process_request(connection: Any, request: Any) -> None:
        seen.append((connection, request))

    async def aprocess_request(connection: Any, request: Any) -> None:
        await asyncio.sleep(0)
        seen.append((connection, request))

    process = aprocess_request if asynchronous else process_request
    async with ends(lib, "server", process_request=process) as (server, _):
        ((connection, request),) = seen
        assert connection is server
        assert isinstance(connection, lib.ServerConnection)
        assert request is server.request
        assert isinstance(request, lib.Request)


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_process_request_answers(lib: Library, asynchronous: bool) -> None:
    def process_request(connection: Any, request: Any) -> Any:
        return connection.respond(http.HTTPStatus.FORBIDDEN, "Forbidden")

    async def aprocess_request(connection: Any, request: Any) -> Any:
        await asyncio.sleep(0)
        return connection.respond(http.HTTPStatus.FORBIDDEN, "Forbidden")

    process = aprocess_request if asynchronous else process_request
    async with lib.serve(echo, "127.0.0.1", 0, process_request=process) as server:
        with pytest.raises(lib.InvalidStatus) as raised:
            await lib.connect(url(server))
    response = raised.value.response
    assert response.status_code == 403
    assert bytes(response.body) == b"Forbidden"
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["Content-Length"] == "9"


async def test_process_request_answers_plain_http(lib: Library) -> None:
    def process_request(connection: Any, request: Any) -> Any:
        if request.path == "/healthz":
            return connection.respond(http.HTTPStatus.OK, "OK\n")
        return None

    async with lib.serve(echo, "127.0.0.1", 0, process_request=process_request) as server:
        status, _, body = await exchange(
            server, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        assert status == b"HTTP/1.1 200 OK"
        assert body == b"OK\n"
        async with lib.connect(url(server)) as client:
            await client.send("hello")
            assert await client.recv() == "hello"


async def test_process_request_makes_its_own_response(lib: Library) -> None:
    def process_request(connection: Any, request: Any) -> Any:
        headers = lib.Headers([("X-Custom", "yes"), ("Content-Length", "4")])
        return lib.Response(418, "I'm a teapot", headers, b"tea\n")

    async with lib.serve(echo, "127.0.0.1", 0, process_request=process_request) as server:
        with pytest.raises(lib.InvalidStatus) as raised:
            await lib.connect(url(server))
    assert raised.value.response.status_code == 418
    assert raised.value.response.reason_phrase == "I'm a teapot"
    assert raised.value.response.headers["X-Custom"] == "yes"
    assert bytes(raised.value.response.body) == b"tea\n"


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("which", ["process_request", "process_response"])
async def test_failing_callback_is_a_500(
    lib: Library, which: str, asynchronous: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("in the callback")

    async def afail(*_: Any) -> Any:
        raise ZeroDivisionError("in the callback")

    callback = {which: afail if asynchronous else fail}
    async with lib.serve(echo, "127.0.0.1", 0, **callback) as server:
        with pytest.raises(lib.InvalidStatus) as raised:
            await lib.connect(url(server))
    assert raised.value.response.status_code == 500
    assert b"ZeroDivisionError" not in bytes(raised.value.response.body)
    errors = [r.exc_info for r in caplog.records if r.levelname == "ERROR" and r.exc_info]
    assert [info[0] for info in errors] == [ZeroDivisionError]


async def test_process_request_may_take_notes_on_the_connection(lib: Library) -> None:
    def process_request(connection: Any, request: Any) -> None:
        connection.user = request.headers["X-User"]

    async with ends(
        lib,
        "server",
        process_request=process_request,
        remote={"additional_headers": {"X-User": "me"}},
    ) as (server, _):
        assert server.user == "me"


# process_response.


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_process_response_sees_the_response(lib: Library, asynchronous: bool) -> None:
    seen = []

    def process_response(connection: Any, request: Any, response: Any) -> None:
        seen.append((connection, request, response))

    async def aprocess_response(connection: Any, request: Any, response: Any) -> None:
        await asyncio.sleep(0)
        seen.append((connection, request, response))

    process = aprocess_response if asynchronous else process_response
    async with ends(lib, "server", process_response=process) as (server, _):
        ((connection, request, response),) = seen
        assert connection is server
        assert request is server.request
        assert response is server.response
        assert response.status_code == 101


async def test_process_response_adds_a_header(lib: Library) -> None:
    def process_response(connection: Any, request: Any, response: Any) -> None:
        response.headers["X-Served-By"] = "us"

    async with ends(lib, remote={"process_response": process_response}) as (client, _):
        assert client.response.headers["X-Served-By"] == "us"


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_process_response_replaces(lib: Library, asynchronous: bool) -> None:
    def process_response(connection: Any, request: Any, response: Any) -> Any:
        headers = lib.Headers(response.headers.raw_items())
        headers["X-Replaced"] = "yes"
        return lib.Response(response.status_code, response.reason_phrase, headers)

    async def aprocess_response(connection: Any, request: Any, response: Any) -> Any:
        return process_response(connection, request, response)

    process = aprocess_response if asynchronous else process_response
    async with ends(lib, remote={"process_response": process}) as (client, server):
        assert client.response.headers["X-Replaced"] == "yes"
        assert server.response.headers["X-Replaced"] == "yes"


async def test_process_response_may_refuse(lib: Library) -> None:
    def process_response(connection: Any, request: Any, response: Any) -> Any:
        return connection.respond(409, "Conflict\n")

    async with lib.serve(echo, "127.0.0.1", 0, process_response=process_response) as server:
        with pytest.raises(lib.InvalidStatus) as raised:
            await lib.connect(url(server))
    assert raised.value.response.status_code == 409


async def test_process_response_sees_rejections_too(lib: Library) -> None:
    statuses = []

    def process_request(connection: Any, request: Any) -> Any:
        return connection.respond(404, "Not found\n")

    def process_response(connection: Any, request: Any, response: Any) -> None:
        statuses.append(response.status_code)
        response.headers["X-Seen"] = "yes"

    async with lib.serve(
        echo,
        "127.0.0.1",
        0,
        process_request=process_request,
        process_response=process_response,
    ) as server:
        with pytest.raises(lib.InvalidStatus) as raised:
            await lib.connect(url(server))
    assert statuses == [404]
    assert raised.value.response.headers["X-Seen"] == "yes"


async def test_respond(lib: Library) -> None:
    made = []

    def process_request(connection: Any, request: Any) -> None:
        made.append(connection.respond(404, "Überall"))

    async with ends(lib, "server", process_request=process_request):
        (response,) = made
        assert (response.status_code, response.reason_phrase) == (404, "Not Found")
        assert response.body == "Überall".encode()
        assert response.headers["Content-Length"] == "8"
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert "Date" in response.headers


# Server header.


async def test_default_server_header(lib: Library) -> None:
    async with ends(lib) as (client, _):
        header = client.response.headers["Server"]
        assert re.fullmatch(rf"Python/\S+ {lib.name}/{re.escape(lib.version)}", header)
        assert header == lib.SERVER


@pytest.mark.parametrize("header", ["Neo", None])
async def test_server_header(lib: Library, header: str | None) -> None:
    async with ends(lib, remote={"server_header": header}) as (client, _):
        assert client.response.headers.get("Server") == header


async def test_server_header_on_rejections(lib: Library) -> None:
    def process_request(connection: Any, request: Any) -> Any:
        return connection.respond(404, "Not found\n")

    async with lib.serve(
        echo, "127.0.0.1", 0, process_request=process_request, server_header="Neo"
    ) as server:
        with pytest.raises(lib.InvalidStatus) as raised:
            await lib.connect(url(server))
    assert raised.value.response.headers["Server"] == "Neo"


# Requests that aren't handshakes.


@pytest.mark.parametrize(
    ("request_octets", "status", "field"),
    [
        (
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"HTTP/1.1 426 Upgrade Required",
            b"Upgrade: websocket",
        ),
        (
            upgrade_request().replace(b"Connection: Upgrade\r\n", b""),
            b"HTTP/1.1 426 Upgrade Required",
            b"Upgrade: websocket",
        ),
        (
            upgrade_request().replace(b"Upgrade: websocket\r\n", b"Upgrade: h2c\r\n"),
            b"HTTP/1.1 426 Upgrade Required",
            b"Upgrade: websocket",
        ),
        (
            upgrade_request().replace(b"GET ", b"POST "),
            b"HTTP/1.1 405 Method Not Allowed",
            b"Allow: GET",
        ),
        (
            upgrade_request().replace(KEY.encode(), b"dG9vIHNob3J0"),
            b"HTTP/1.1 400 Bad Request",
            b"",
        ),
        (
            upgrade_request().replace(KEY.encode(), b"!!!not base64!!!"),
            b"HTTP/1.1 400 Bad Request",
            b"",
        ),
        (
            upgrade_request().replace(b"Sec-WebSocket-Key: " + KEY.encode() + b"\r\n", b""),
            b"HTTP/1.1 400 Bad Request",
            b"",
        ),
        (
            upgrade_request().replace(b"Sec-WebSocket-Version: 13\r\n", b""),
            None,
            b"",
        ),
        (
            upgrade_request().replace(b"Version: 13", b"Version: 8"),
            None,
            b"",
        ),
    ],
    ids=[
        "plain",
        "no Connection",
        "other Upgrade",
        "POST",
        "short key",
        "odd key",
        "no key",
        "no version",
        "old version",
    ],
)
async def test_refused(
    lib: Library, request_octets: bytes, status: bytes | None, field: bytes
) -> None:
    async with lib.serve(echo, "127.0.0.1", 0) as server:
        answered, fields, body = await exchange(server, request_octets)
    if status is None:
        assert answered.startswith(b"HTTP/1.1 4")
    else:
        assert answered == status
    assert field.lower() in fields.lower()
    assert body


@pytest.mark.parametrize(
    "request_octets",
    [
        upgrade_request().replace(b"Connection: Upgrade", b"Connection: keep-alive, UPGRADE"),
        upgrade_request().replace(b"Upgrade: websocket", b"upgrade: WebSocket"),
        upgrade_request(f"/{'x' * 1000}"),
        upgrade_request("/", "X-Long: " + "x" * 4000),
    ],
    ids=["list", "case", "long path", "long header"],
)
async def test_accepted(lib: Library, request_octets: bytes) -> None:
    async with lib.serve(echo, "127.0.0.1", 0) as server:
        status, fields, _ = await exchange(server, request_octets)
    assert status == b"HTTP/1.1 101 Switching Protocols"
    assert b"sec-websocket-accept:" in fields.lower()


async def test_request_in_pieces(lib: Library) -> None:
    async with lib.serve(echo, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        octets = upgrade_request()
        for i in range(0, len(octets), 40):
            writer.write(octets[i : i + 40])
            await asyncio.sleep(0.001)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        writer.close()


async def test_too_many_headers(lib: Library) -> None:
    async with lib.serve(echo, "127.0.0.1", 0) as server:
        request = upgrade_request("/", *[f"X-{i}: {i}" for i in range(1000)])
        status, _, _ = await exchange(server, request)
    assert status.startswith(b"HTTP/1.1 431 ")


async def test_request_line_too_long(lib: Library) -> None:
    async with lib.serve(echo, "127.0.0.1", 0) as server:
        status, _, _ = await exchange(server, upgrade_request("/" + "x" * 20000))
    assert status.startswith(b"HTTP/1.1 414 ")


# Origins.


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        (["https://good.example"], "https://good.example", True),
        (["https://good.example"], "https://evil.example", False),
        (["https://good.example"], None, False),
        (["https://good.example", None], None, True),
        ([None], "https://evil.example", False),
        ([re.compile(r"https://.*\.good\.example")], "https://a.good.example", True),
        ([re.compile(r"https://.*\.good\.example")], "https://a.good.example.evil", False),
        ([re.compile(r"https://.*\.good\.example")], None, False),
        (["https://other.example", re.compile(r"https://good.*")], "https://good.example", True),
        (None, "https://anything.example", True),
        (None, None, True),
    ],
)
async def test_origins(lib: Library, origins: Any, origin: str | None, allowed: bool) -> None:
    async with lib.serve(echo, "127.0.0.1", 0, origins=origins) as server:
        if allowed:
            async with lib.connect(url(server), origin=origin) as client:
                await client.send("hello")
                assert await client.recv() == "hello"
        else:
            with pytest.raises(lib.InvalidStatus) as raised:
                await lib.connect(url(server), origin=origin)
            assert raised.value.response.status_code == 403


# Subprotocols.


@pytest.mark.parametrize(
    ("client", "server", "chosen"),
    [
        (["chat"], ["chat"], "chat"),
        (["chat", "superchat"], ["superchat", "chat"], "superchat"),
        (["chat", "superchat"], ["superchat"], "superchat"),
        (["chat"], None, None),
        (None, None, None),
    ],
)
async def test_subprotocols(
    lib: Library, client: list[str] | None, server: list[str] | None, chosen: str | None
) -> None:
    async with ends(lib, subprotocols=client, remote={"subprotocols": server}) as both:
        assert [end.subprotocol for end in both] == [chosen, chosen]


@pytest.mark.parametrize("client", [None, ["other"]])
async def test_no_common_subprotocol(lib: Library, client: list[str] | None) -> None:
    async with lib.serve(echo, "127.0.0.1", 0, subprotocols=["chat"]) as server:
        with pytest.raises(lib.InvalidStatus) as raised:
            await lib.connect(url(server), subprotocols=client)
    assert raised.value.response.status_code == 400


async def test_select_subprotocol(lib: Library) -> None:
    calls = []

    def select_subprotocol(connection: Any, subprotocols: Any) -> str | None:
        calls.append((connection, list(subprotocols)))
        return "chat" if "chat" in subprotocols else None

    async with accepting(lib, select_subprotocol=select_subprotocol) as (server, accepted):
        async with lib.connect(url(server), subprotocols=["other", "chat"]) as client:
            server_end = await accepted.get()
            assert client.subprotocol == server_end.subprotocol == "chat"
            assert calls == [(server_end, ["other", "chat"])]
            assert isinstance(calls[0][0], lib.ServerConnection)
        async with lib.connect(url(server), subprotocols=["other"]) as client:
            assert client.subprotocol is None
        async with lib.connect(url(server)) as client:
            assert client.subprotocol is None


async def test_select_subprotocol_may_refuse(lib: Library) -> None:
    def select_subprotocol(connection: Any, subprotocols: Any) -> str | None:
        raise lib.NegotiationError("bring a subprotocol")

    async with lib.serve(
        echo, "127.0.0.1", 0, subprotocols=["chat"], select_subprotocol=select_subprotocol
    ) as server:
        with pytest.raises(lib.InvalidStatus) as raised:
            await lib.connect(url(server))
    assert raised.value.response.status_code == 400
    assert b"bring a subprotocol" in bytes(raised.value.response.body)


async def test_failing_select_subprotocol_is_a_500(lib: Library) -> None:
    def select_subprotocol(connection: Any, subprotocols: Any) -> str | None:
        raise ZeroDivisionError

    async with lib.serve(
        echo, "127.0.0.1", 0, subprotocols=["chat"], select_subprotocol=select_subprotocol
    ) as server:
        with pytest.raises(lib.InvalidStatus) as raised:
            await lib.connect(url(server), subprotocols=["chat"])
    assert raised.value.response.status_code == 500


async def test_client_leaves_during_process_request(lib: Library) -> None:
    asked, release = asyncio.Event(), asyncio.Event()

    async def process_request(connection: Any, request: Any) -> None:
        if request.path == "/slow":
            asked.set()
            await release.wait()

    async with lib.serve(echo, "127.0.0.1", 0, process_request=process_request) as server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        writer.write(upgrade_request("/slow"))
        await asked.wait()
        writer.transport.abort()
        release.set()
        async with lib.connect(url(server)) as client:
            await client.send("hello")
            assert await client.recv() == "hello"
