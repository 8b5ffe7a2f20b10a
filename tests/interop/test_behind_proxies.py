"""Our server behind nginx and HAProxy, with the configuration that the documentation shows."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from duologue.base.limits import Limits
from duologue.cli.check.snippets import SNIPPETS

from .peer import PATIENCE, TlsFiles
from .proxies import free_port, haproxy, nginx
from .subject import ConnectionClosedError, ConnectionClosedOK, InvalidStatus, connect, serve

MIB = 1024 * 1024


def snippet(server: str, topic: str) -> str:
    (found,) = (one for one in SNIPPETS if (one.server, one.topic) == (server, topic))
    return found.code


@dataclass(frozen=True)
class Front:
    """A proxy in front, and how it is reached.

    Attributes:
        proxy: Its name.
        secure: Whether it ends TLS.
    """

    proxy: str
    secure: bool

    def __str__(self) -> str:
        return f"{self.proxy}-{'wss' if self.secure else 'ws'}"


FRONTS = [Front(proxy, secure) for proxy in ("nginx", "haproxy") for secure in (False, True)]
all_fronts = pytest.mark.parametrize(
    "front",
    [
        pytest.param(front, marks=getattr(pytest.mark, f"needs_{front.proxy}"), id=str(front))
        for front in FRONTS
    ],
)


def nginx_text(server: int, port: int, tls: TlsFiles | None, more: str = "") -> str:
    """What goes into ``http {…}``: the documentation's, on other ports."""
    text = snippet("nginx", "upgrade").replace("127.0.0.1:8000", f"127.0.0.1:{server}")
    listen = f"listen 127.0.0.1:{port}"
    if tls is not None:
        listen = (
            f"listen 127.0.0.1:{port} ssl; ssl_certificate {tls.certificate}; "
            f"ssl_certificate_key {tls.certificate}"
        )
    assert "listen 80;" in text
    text = text.replace("listen 80", listen)
    return text.replace("proxy_http_version", f"{more}\n        proxy_http_version")


def haproxy_text(
    server: int, port: int, tls: TlsFiles | None, *, front: str = "", back: str = ""
) -> str:
    text = snippet("haproxy", "upgrade").replace("127.0.0.1:8000", f"127.0.0.1:{server}")
    bind = f"bind 127.0.0.1:{port}"
    if tls is not None:
        bind += f" ssl crt {tls.certificate} alpn http/1.1"
    assert "bind :80" in text
    text = text.replace("bind :80", f"{bind}\n    {front}")
    return text.replace("timeout tunnel 1h", back or "timeout tunnel 1h")


@contextlib.asynccontextmanager
async def before(
    front: Front, server: int, folder: Path, tls_files: TlsFiles, **more: str
) -> AsyncIterator[str]:
    """Put a proxy before a server; gives its URL."""
    port = free_port()
    tls = tls_files if front.secure else None
    if front.proxy == "nginx":
        running = nginx(folder, nginx_text(server, port, tls, **more), port)
    else:
        running = haproxy(folder, haproxy_text(server, port, tls, **more), port)
    async with running:
        yield f"{'wss' if front.secure else 'ws'}://127.0.0.1:{port}/"


def options(front: Front, tls_files: TlsFiles) -> dict[str, Any]:
    common = {"proxy": None}
    if not front.secure:
        return common
    return {**common, "ssl": ssl.create_default_context(cafile=tls_files.authority)}


@contextlib.asynccontextmanager
async def through(
    front: Front, handler: Any, folder: Path, tls_files: TlsFiles, **serving: Any
) -> AsyncIterator[Any]:
    """Connect through a proxy to a server of ours."""
    async with (
        serve(handler, "127.0.0.1", 0, **serving) as server,
        before(front, server.sockets[0].getsockname()[1], folder, tls_files) as url,
        asyncio.timeout(PATIENCE),
        connect(url, max_size=None, **options(front, tls_files)) as websocket,
    ):
        yield websocket


async def echo(websocket: Any) -> None:
    async for message in websocket:
        await websocket.send(message)


@all_fronts
async def test_messages_of_all_sizes(front: Front, tmp_path: Path, tls_files: TlsFiles) -> None:
    async with through(front, echo, tmp_path, tls_files, max_size=None) as websocket:
        assert "permessage-deflate" in websocket.response.headers["Sec-WebSocket-Extensions"]
        for size in (0, 1, 125, 126, 65535, 65536, MIB, 4 * MIB):
            text = ("κόσμε" * (size // 5 + 1))[:size]
            await websocket.send(text)
            assert await websocket.recv() == text
            await websocket.send(bytes(size))
            assert await websocket.recv() == bytes(size)


@all_fronts
async def test_a_message_in_fragments(front: Front, tmp_path: Path, tls_files: TlsFiles) -> None:
    async with through(front, echo, tmp_path, tls_files) as websocket:
        await websocket.send(["one ", "", "two"])
        assert await websocket.recv() == "one two"


@all_fronts
async def test_pings_pass(front: Front, tmp_path: Path, tls_files: TlsFiles) -> None:
    async with through(front, echo, tmp_path, tls_files) as websocket:
        assert await (await websocket.ping()) > 0


@all_fronts
@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 3000, 4999])
async def test_the_servers_close_code_arrives(
    front: Front, code: int, tmp_path: Path, tls_files: TlsFiles
) -> None:
    async def handler(websocket: Any) -> None:
        await websocket.close(code, "because – so")

    async with through(front, handler, tmp_path, tls_files) as websocket:
        with pytest.raises((ConnectionClosedOK, ConnectionClosedError)) as caught:
            await websocket.recv()
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (code, "because – so")


@all_fronts
async def test_the_clients_close_code_arrives(
    front: Front, tmp_path: Path, tls_files: TlsFiles
) -> None:
    closed: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

    async def handler(websocket: Any) -> None:
        await websocket.wait_closed()
        closed.set_result((websocket.close_code, websocket.close_reason))

    async with through(front, handler, tmp_path, tls_files) as websocket:
        await websocket.close(4321, "bye")
        assert await closed == (4321, "bye")


@all_fronts
async def test_a_vanished_server_is_an_abnormal_end(
    front: Front, tmp_path: Path, tls_files: TlsFiles
) -> None:
    async def handler(websocket: Any) -> None:
        websocket.transport.abort()

    async with through(front, handler, tmp_path, tls_files) as websocket:
        with pytest.raises(ConnectionClosedError):
            await websocket.recv()
        assert websocket.close_code == 1006


@all_fronts
async def test_silence_within_the_limit_is_survived(
    front: Front, tmp_path: Path, tls_files: TlsFiles
) -> None:
    """The server's pings keep a connection alive that a proxy would cut after a second."""
    more = (
        {"more": "proxy_read_timeout 1s;"}
        if front.proxy == "nginx"
        else {"back": "timeout tunnel 1s"}
    )
    ended: list[float] = []
    loop = asyncio.get_running_loop()
    for interval in (0.3, None):
        async with (
            serve(echo, "127.0.0.1", 0, ping_interval=interval) as server,
            before(front, server.sockets[0].getsockname()[1], tmp_path, tls_files, **more) as url,
            connect(url, ping_interval=None, **options(front, tls_files)) as websocket,
        ):
            start = loop.time()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2.2):
                    await websocket.wait_closed()
            ended.append(loop.time() - start)
    assert ended[0] >= 2.2
    assert 0.9 < ended[1] < 2.1


@pytest.mark.needs_nginx
async def test_nginx_tells_who_asks(tmp_path: Path, tls_files: TlsFiles) -> None:
    async def handler(websocket: Any) -> None:
        headers = websocket.request.headers
        await websocket.send(f"{headers['X-Forwarded-Proto']} {headers['Host']}")

    async with through(Front("nginx", True), handler, tmp_path, tls_files) as websocket:
        proto, host = (await websocket.recv()).split()
        assert proto == "https"
        assert host == f"127.0.0.1:{websocket.remote_address[1]}"


@pytest.mark.parametrize(
    "proxy",
    [
        pytest.param(name, marks=getattr(pytest.mark, f"needs_{name}"))
        for name in ("nginx", "haproxy")
    ],
)
async def test_origins_can_be_judged_by_the_proxy(
    proxy: str, tmp_path: Path, tls_files: TlsFiles
) -> None:
    """The snippet lets programs and one's own pages in, and nobody else's."""
    front = Front(proxy, False)
    code = snippet(proxy, "origin")
    async with serve(echo, "127.0.0.1", 0) as server:
        port, backend = free_port(), server.sockets[0].getsockname()[1]
        if proxy == "nginx":
            at_top, beside = code.split("\n\n")
            text = at_top + "\n" + nginx_text(backend, port, None, beside)
            running = nginx(tmp_path, text, port)
        else:
            lines = "\n    ".join(code.splitlines())
            running = haproxy(tmp_path, haproxy_text(backend, port, None, front=lines), port)
        async with running:
            url = f"ws://127.0.0.1:{port}/"
            for origin in (None, "https://www.example.com"):
                async with connect(url, origin=origin, **options(front, tls_files)) as websocket:
                    await websocket.send("let in")
                    assert await websocket.recv() == "let in"
            for origin in ("https://example.com", "https://www.example.com.evil.example"):
                with pytest.raises(InvalidStatus) as caught:
                    await connect(url, origin=origin, **options(front, tls_files))
                assert caught.value.response.status_code == 403


@pytest.mark.parametrize(
    "proxy",
    [
        pytest.param(name, marks=getattr(pytest.mark, f"needs_{name}"))
        for name in ("nginx", "haproxy")
    ],
)
async def test_long_heads_need_the_snippet(proxy: str, tmp_path: Path, tls_files: TlsFiles) -> None:
    code = snippet(proxy, "head")
    length = 20_000
    headers = {"Cookie": "a" * length}
    limits = Limits(max_line=65536, max_head=131072)
    outcomes = []
    async with serve(echo, "127.0.0.1", 0, limits=limits) as server:
        backend = server.sockets[0].getsockname()[1]
        for there in (False, True):
            port = free_port()
            if proxy == "nginx":
                text = nginx_text(backend, port, None)
                text = text.replace("location /", (code if there else "") + "location /")
                running = nginx(tmp_path, text, port)
            else:
                text = haproxy_text(backend, port, None)
                running = haproxy(tmp_path, ("    " + code if there else "") + text, port)
            async with running:
                try:
                    async with connect(
                        f"ws://127.0.0.1:{port}/", additional_headers=headers, proxy=None
                    ) as websocket:
                        await websocket.send("x")
                        outcomes.append(await websocket.recv())
                except InvalidStatus as error:
                    outcomes.append(error.response.status_code)
    assert outcomes == [400, "x"]
