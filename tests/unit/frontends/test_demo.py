from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from duologue.asyncio.client import connect
from duologue.exceptions import InvalidStatus
from duologue.frontends import demo
from duologue.frontends.demo import bounds

SUFFIXES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
PAGES = [path for path, name in demo.FILES.items() if name.endswith(".html")]
SCRIPTS = [path for path in demo.FILES if path.endswith(".js")]


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


async def test_schemes_without_tls(place):
    async with demo.serve(port=0) as server:
        assert (await place(server).http("/schemes"))[2] == b'["ws"]'


@pytest.mark.parametrize(
    ("tls", "optional", "schemes"),
    [(False, False, ["ws"]), (True, False, ["wss"]), (True, True, ["ws", "wss"])],
)
def test_schemes_of_a_port(tls, optional, schemes):
    assert demo.served_schemes(tls, optional) == schemes


@pytest.mark.parametrize("path", demo.FILES)
async def test_each_file_is_served_with_its_type_and_security_headers(place, path):
    async with demo.serve(port=0) as server:
        status, headers, body = await place(server).http(path)
    assert status == 200
    assert headers["content-type"] == SUFFIXES[demo.FILES[path].rpartition(".")[2]]
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


@pytest.mark.parametrize("path", PAGES)
async def test_pages_refer_only_to_what_the_demo_serves(place, path):
    async with demo.serve(port=0) as server:
        _, _, body = await place(server).http(path)
        text = body.decode()
        for reference in set(re.findall(r'(?:href|src)="([^"]*)"', text)):
            target, _, anchor = reference.partition("#")
            if reference.startswith("https://www.rfc-editor.org/"):
                continue  # a link for who follows it; nothing is loaded from there
            assert target in {"", *demo.FILES}
            if anchor:
                shown = (await place(server).http(target))[2].decode() if target else text
                assert f'id="{anchor}"' in shown
    # What the content security policy would block anyway.
    assert not re.search(r"<script>|<style>|\son\w+=|\sstyle=", text)


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_has_the_same_navigation_and_marks_its_own_place(place, path):
    async with demo.serve(port=0) as server:
        _, _, home = await place(server).http("/")
        _, _, body = await place(server).http(path)
    links = re.compile(rb"<nav.*?</nav>", re.DOTALL)

    def plain(octets):
        return links.findall(octets)[0].replace(b' aria-current="page"', b"")

    assert plain(body) == plain(home)
    assert links.findall(body)[0].count(b'aria-current="page"') == 1


async def test_the_start_page_leads_to_every_page(place):
    async with demo.serve(port=0) as server:
        _, _, home = await place(server).http("/")
        _, _, tutorials = await place(server).http("/tutorials")
    for path in PAGES:
        assert f'href="{path}"'.encode() in home + tutorials


@pytest.mark.parametrize("path", SCRIPTS)
async def test_scripts_never_make_markup_of_what_they_get(place, path):
    async with demo.serve(port=0) as server:
        _, _, body = await place(server).http(path)
    assert not re.search(rb"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", body) or (
        # in the comments that warn of it
        path in ("/echo.js", "/chat.js") and body.count(b".innerHTML") == 0
    )


async def test_a_slow_handshake_takes_its_time(place, monkeypatch):
    monkeypatch.setattr(demo, "SLOW", 0.05)
    loop = asyncio.get_running_loop()
    async with demo.serve(port=0) as server:
        began = loop.time()
        async with connect(place(server).url("/slow")) as websocket:
            assert loop.time() - began >= 0.05
            assert b"visit" in await websocket.recv(decode=False)


async def test_slow_handshakes_are_bounded(place, monkeypatch):
    monkeypatch.setattr(demo, "MAX_SLOW", 0)
    async with demo.serve(port=0) as server:
        with pytest.raises(InvalidStatus) as caught:
            await connect(place(server).url("/slow"))
    assert caught.value.response.status_code == 503
    assert b"held back" in caught.value.response.body


async def test_visitors_are_bounded(place, monkeypatch):
    monkeypatch.setattr(demo, "MAX_VISITORS", 1)
    async with demo.serve(port=0) as server:
        async with connect(place(server).url("/echo")):
            with pytest.raises(InvalidStatus) as caught:
                await connect(place(server).url("/echo"))
            assert caught.value.response.status_code == 503
            assert b"1 WebSockets are open" in caught.value.response.body
            status, _, _ = await place(server).http("/")
            assert status == 200


def test_every_bound_says_why():
    source = Path(bounds.__file__).read_text(encoding="utf-8")
    names = [name for name in vars(bounds) if name.isupper()]
    assert names
    for name in names:
        assert re.search(rf'^{name} = .+\n"""\w', source, re.MULTILINE)
