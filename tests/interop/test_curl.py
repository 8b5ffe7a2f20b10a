"""``curl`` as an HTTP client of our server: plain answers, refusals, and an upgrade by hand."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import pytest

from .conversation import serving
from .peer import PATIENCE

pytestmark = pytest.mark.needs_curl

UPGRADE = (
    "--header",
    "Connection: Upgrade",
    "--header",
    "Upgrade: websocket",
    "--header",
    "Sec-WebSocket-Version: 13",
    "--header",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


async def curl(*arguments: str) -> tuple[int | None, bytes]:
    """Run curl and return its exit status and output."""
    process = await asyncio.create_subprocess_exec(
        "curl",
        "--silent",
        "--http1.1",
        "--noproxy",
        "*",
        "--max-time",
        str(PATIENCE),
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return process.returncode, output


def health(connection: Any, request: Any) -> Any:
    if request.path == "/health":
        return connection.respond(HTTPStatus.OK, "ok\n")
    return None


async def greet(connection: Any) -> None:
    await connection.send("Hello")
    await connection.close(4001, "bye")


async def test_plain_request_gets_the_servers_own_answer() -> None:
    async with serving(greet, process_request=health) as port:
        status, output = await curl("--include", f"http://127.0.0.1:{port}/health")
    head, _, body = output.partition(b"\r\n\r\n")
    assert status == 0
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: 3" in head.lower()
    assert body == b"ok\n"


@pytest.mark.parametrize("keep_open", [True, False])
async def test_plain_requests_share_a_connection_unless_told_to_close(keep_open: bool) -> None:
    def answer(connection: Any, request: Any) -> Any:
        response = health(connection, request)
        if keep_open:
            del response.headers["Connection"]
        return response

    async with serving(greet, process_request=answer) as port:
        url = f"http://127.0.0.1:{port}/health"
        status, output = await curl(url, url, url, "--write-out", "%{num_connects}\n")
    assert status == 0
    assert output == (b"ok\n1\nok\n0\nok\n0\n" if keep_open else b"ok\n1\nok\n1\nok\n1\n")


async def test_upgrade_may_follow_plain_requests_on_their_connection() -> None:
    def answer(connection: Any, request: Any) -> Any:
        response = health(connection, request)
        if response is not None:
            del response.headers["Connection"]
        return response

    async with serving(greet, process_request=answer, close_timeout=0.2) as port:
        base = f"http://127.0.0.1:{port}"
        upgrade = ("--next", "--include", "--no-buffer", *UPGRADE, f"{base}/")
        counted = ("--write-out", "[%{num_connects}]")
        _, output = await curl(f"{base}/health", *upgrade, *counted)
    assert output.startswith(b"ok\nHTTP/1.1 101 ")
    assert b"\x81\x05Hello" in output
    assert output.endswith(b"[0]")  # no new connection for the upgrade


async def test_request_without_upgrade_is_told_to_upgrade() -> None:
    async with serving(greet) as port:
        status, output = await curl("--include", f"http://127.0.0.1:{port}/")
    head, _, body = output.partition(b"\r\n\r\n")
    assert status == 0
    assert head.startswith(b"HTTP/1.1 426 Upgrade Required\r\n")
    assert b"\r\nupgrade: websocket" in head.lower()
    assert body


async def test_other_version_is_told_which_one_works() -> None:
    wrong = [value.replace(": 13", ": 8") for value in UPGRADE]
    async with serving(greet) as port:
        status, output = await curl("--include", *wrong, f"http://127.0.0.1:{port}/")
    assert status == 0
    assert output.startswith(b"HTTP/1.1 426 ")
    assert b"\r\nsec-websocket-version: 13\r\n" in output.lower()


async def test_post_is_not_allowed() -> None:
    async with serving(greet) as port:
        status, output = await curl("--include", "--data", "x=1", f"http://127.0.0.1:{port}/")
    assert status == 0
    assert output.startswith(b"HTTP/1.1 405 ")
    assert b"\r\nallow: get\r\n" in output.lower()


async def test_upgrade_by_hand_shows_the_octets_of_the_handshake_and_frames() -> None:
    async with serving(greet, close_timeout=0.2) as port:
        _, output = await curl("--include", "--no-buffer", *UPGRADE, f"http://127.0.0.1:{port}/")
    head, _, frames = output.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 101 Switching Protocols"
    # The key and the answer are the example of RFC 6455, section 1.3.
    assert b"sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=" in [
        line.lower() for line in lines[1:]
    ]
    assert frames == b"\x81\x05Hello" + b"\x88\x05" + (4001).to_bytes(2, "big") + b"bye"
