from __future__ import annotations

import asyncio

import pytest

from duologue.asyncio.client import connect
from duologue.frontends import echo


@pytest.mark.parametrize("path", ["/", "/any/path?with=query"])
async def test_echoes_text_and_binary_as_they_came_without_greeting(place, path):
    async with echo.serve(port=0) as server, connect(place(server).url(path)) as websocket:
        for message in ["hello", "", "grüß 🎈", b"\x00\xff", b"", "x" * 200_000]:
            await websocket.send(message)
            assert await websocket.recv() == message


async def test_greeting_comes_first_and_unasked(place):
    async with (
        echo.serve(port=0, greeting="Welcome.") as server,
        connect(place(server).url()) as websocket,
    ):
        assert await websocket.recv() == "Welcome."
        await websocket.send("hi")
        assert await websocket.recv() == "hi"


async def test_an_empty_greeting_is_a_message_too(place):
    async with (
        echo.serve(port=0, greeting="") as server,
        connect(place(server).url()) as websocket,
    ):
        assert await websocket.recv() == ""


async def test_options_reach_the_server(place):
    async with (
        echo.serve(port=0, max_size=10) as server,
        connect(place(server).url()) as websocket,
    ):
        await websocket.send("x" * 11)
        await websocket.wait_closed()
        assert websocket.close_code == 1009


async def test_a_peer_that_leaves_without_goodbye_is_no_error(place, caplog):
    async with echo.serve(port=0) as server:
        async with place(server).raw() as (reader, writer):
            writer.write(b"\x81\x82\x00\x00\x00\x00hi")
            assert await reader.readexactly(4) == b"\x81\x02hi"
        while server.connections:
            await asyncio.sleep(0.001)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("path", ["/", "/some/where"])
async def test_plain_http_gets_the_page_on_any_path(place, path):
    async with echo.serve(port=0) as server:
        status, headers, body = await place(server).http(path)
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert "sha256-" in headers["content-security-policy"]
    assert b"new WebSocket(url)" in body
    assert int(headers["content-length"]) == len(body)


async def test_other_methods_are_refused(place):
    async with echo.serve(port=0) as server:
        status, headers, _ = await place(server).http("/", "DELETE")
    assert status == 405
    assert headers["allow"] == "GET, HEAD"


async def test_a_botched_upgrade_is_told_what_is_wrong(place):
    async with echo.serve(port=0) as server:
        status, _, body = await place(server).http("/", headers="Upgrade: websocket\r\n")
    assert 400 <= status < 500
    assert b"<html" not in body
