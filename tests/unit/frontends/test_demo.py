from __future__ import annotations

import re

import pytest

from duologue.asyncio.client import connect
from duologue.exceptions import InvalidStatus
from duologue.frontends import demo

TYPES = {
    "/": "text/html; charset=utf-8",
    "/echo": "text/html; charset=utf-8",
    "/chat": "text/html; charset=utf-8",
    "/style.css": "text/css; charset=utf-8",
    "/echo.js": "text/javascript; charset=utf-8",
    "/chat.js": "text/javascript; charset=utf-8",
    "/favicon.svg": "image/svg+xml",
}


async def test_an_upgrade_on_the_root_is_the_chat(place):
    lines: list[str] = []
    async with demo.serve(port=0, log=lines.append) as server:
        async with connect(place(server).url("/?a=b")) as websocket:
            assert await websocket.recv() == "user1 come in!"
    assert lines[0] == "New connection"


async def test_an_upgrade_on_echo_echoes(place):
    async with demo.serve(port=0) as server, connect(place(server).url("/echo")) as websocket:
        await websocket.send(b"\x01\x02")
        assert await websocket.recv() == b"\x01\x02"


@pytest.mark.parametrize("path", ["/chat", "/style.css", "/nowhere"])
async def test_an_upgrade_elsewhere_is_refused(place, path):
    async with demo.serve(port=0) as server:
        with pytest.raises(InvalidStatus) as caught:
            await connect(place(server).url(path))
    assert caught.value.response.status_code == 404
    assert b"the chat is at /, the echo at /echo" in caught.value.response.body


async def test_a_message_may_have_16_mib(place):
    async with (
        demo.serve(port=0) as server,
        connect(place(server).url("/echo"), max_size=None, compression=None) as websocket,
    ):
        await websocket.send(bytes(1 << 24))
        assert len(await websocket.recv()) == 1 << 24


@pytest.mark.parametrize("options", [{}, {"max_size": 1 << 24}])
async def test_a_message_may_not_have_more(place, options):
    async with (
        demo.serve(port=0, **options) as server,
        place(server).raw("/echo") as (reader, writer),
    ):
        size = ((1 << 24) + 1).to_bytes(8, "big")
        writer.write(b"\x82\xff" + size + bytes(4))
        opcode, _, *code = await reader.readexactly(4)
        assert opcode == 0x88
        assert int.from_bytes(code, "big") == 1009


async def test_the_limit_can_be_lifted(place):
    async with (
        demo.serve(port=0, max_size=None) as server,
        connect(place(server).url("/echo"), max_size=None, compression=None) as websocket,
    ):
        await websocket.send(bytes((1 << 24) + 1))
        assert len(await websocket.recv()) == (1 << 24) + 1


@pytest.mark.parametrize("path", demo.FILES)
async def test_each_file_is_served_with_its_type_and_security_headers(place, path):
    async with demo.serve(port=0) as server:
        status, headers, body = await place(server).http(path)
    assert status == 200
    assert headers["content-type"] == TYPES[path]
    assert int(headers["content-length"]) == len(body) > 0
    assert headers["cache-control"] == "no-cache"
    assert headers["x-content-type-options"] == "nosniff"
    assert "script-src 'self';" in headers["content-security-policy"]


async def test_head_has_the_headers_and_no_body(place):
    async with demo.serve(port=0) as server:
        status, headers, body = await place(server).http("/echo", "HEAD")
    assert status == 200
    assert int(headers["content-length"]) > 0
    assert body == b""


@pytest.mark.parametrize(
    "path", ["/nowhere", "/pages/index.html", "/../__init__.py", "/%2e%2e/__init__.py", "//"]
)
async def test_other_paths_are_not_found(place, path):
    async with demo.serve(port=0) as server:
        status, headers, body = await place(server).http(path)
    assert status == 404
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert path.encode() not in body or path == "//"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_other_methods_are_refused(place, method):
    async with demo.serve(port=0) as server:
        status, headers, _ = await place(server).http("/", method)
    assert status == 405
    assert headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/", "/echo", "/chat"])
async def test_pages_refer_only_to_what_the_demo_serves(place, path):
    async with demo.serve(port=0) as server:
        _, _, body = await place(server).http(path)
    text = body.decode()
    references = re.findall(r'(?:href|src)="([^"]*)"', text)
    assert references
    assert set(references) <= set(demo.FILES)
    # What the content security policy would block anyway.
    assert not re.search(r"<script>|<style>|\son\w+=|\sstyle=", text)


async def test_scripts_never_use_inner_html(place):
    async with demo.serve(port=0) as server:
        for path in ("/echo.js", "/chat.js"):
            _, _, body = await place(server).http(path)
            assert b".textContent = " in body
            assert b".innerHTML" not in body
