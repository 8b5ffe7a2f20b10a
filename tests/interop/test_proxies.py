"""Connecting through real proxies: squid, tinyproxy, microsocks and Dante."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from duologue import (
    ConnectionClosedError,
    InvalidProxyStatus,
    ProxyError,
    connect,
    serve,
)
from duologue.client import process_exception

from . import proxy_peers
from .peer import TlsFiles
from .proxy_peers import Maker, free_port, running

pytest.importorskip("python_socks")

#: Scheme of the proxy's address, and which proxy. SOCKS4a is not among them: Dante takes its marked
#: addresses for real ones, microsocks knows version 5 only.
PROXIES: dict[str, tuple[str, Maker]] = {
    "squid": ("http", proxy_peers.squid),
    "squid-tls": ("https", proxy_peers.squid),
    "tinyproxy": ("http", proxy_peers.tinyproxy),
    "microsocks-5": ("socks5", proxy_peers.microsocks),
    "microsocks-5h": ("socks5h", proxy_peers.microsocks),
    "dante-4": ("socks4", proxy_peers.dante),
    "dante-5": ("socks5", proxy_peers.dante),
    "dante-5h": ("socks5h", proxy_peers.dante),
}
engines = pytest.mark.parametrize("engine", ["auto", "asyncio"])


@pytest.fixture(scope="module", params=PROXIES)
def proxy(request: pytest.FixtureRequest, tls_files: TlsFiles) -> Iterator[str]:
    """The address of a running proxy."""
    scheme, maker = PROXIES[request.param]
    with running(maker, tls=tls_files if scheme == "https" else None) as port:
        yield f"{scheme}://127.0.0.1:{port}"


@pytest.fixture(params=["ws", "wss"])
def secure(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "wss")


@pytest.fixture
def trusting(tls_files: TlsFiles) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(tls_files.authority))


def _server_tls(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate)
    return context


async def echo(connection: Any) -> None:
    async for message in connection:
        if message == "end":
            await connection.close(4000, "as you wish")
        elif message == "cut":
            connection.transport.abort()
        else:
            await connection.send(message)


@contextlib.asynccontextmanager
async def echoing(files: TlsFiles, secure: bool) -> Any:
    tls = _server_tls(files) if secure else None
    async with serve(echo, "127.0.0.1", 0, ssl=tls) as server:
        yield f"{'wss' if secure else 'ws'}://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


def options(proxy: str, secure: bool, trusting: ssl.SSLContext, engine: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"proxy": proxy, "engine": engine}
    if secure:
        found["ssl"] = trusting
    if proxy.startswith("https"):
        found["proxy_ssl"] = trusting
    return found


@engines
async def test_conversation(
    proxy: str, secure: bool, engine: str, trusting: ssl.SSLContext, tls_files: TlsFiles
) -> None:
    async with echoing(tls_files, secure) as uri:
        async with connect(uri, **options(proxy, secure, trusting, engine)) as ws:
            for message in ("hello", b"\x00\xff" * 200_000, "ü" * 100_000, ""):
                await ws.send(message)
                assert await ws.recv() == message
            sending = asyncio.gather(*(ws.send(str(index) * 500) for index in range(100)))
            assert [await ws.recv() for _ in range(100)] == [str(i) * 500 for i in range(100)]
            await sending
            assert await (await ws.ping()) > 0
        assert ws.close_code == 1000


@engines
async def test_ends(
    proxy: str, secure: bool, engine: str, trusting: ssl.SSLContext, tls_files: TlsFiles
) -> None:
    async with echoing(tls_files, secure) as uri:
        given = options(proxy, secure, trusting, engine)
        async with connect(uri, **given) as ws:
            await ws.send("end")
            await ws.wait_closed()
            assert (ws.close_code, ws.close_reason) == (4000, "as you wish")
        async with connect(uri, **given) as ws:
            await ws.send("cut")
            with pytest.raises(ConnectionClosedError):
                await ws.recv()
            assert ws.close_code == 1006


@engines
async def test_the_server_is_down(proxy: str, engine: str, trusting: ssl.SSLContext) -> None:
    """The proxy says so in its own words, and it is worth trying again."""
    uri = f"ws://127.0.0.1:{free_port()}/"
    with pytest.raises(ProxyError) as refused:
        await connect(uri, **options(proxy, False, trusting, engine))
    assert process_exception(refused.value) is None
    (note,) = refused.value.__notes__
    assert uri[5:-1] in note and proxy in note


@engines
async def test_the_name_of_the_server(
    proxy: str, engine: str, trusting: ssl.SSLContext, tls_files: TlsFiles
) -> None:
    async with echoing(tls_files, False) as uri:
        named = uri.replace("127.0.0.1", "localhost")
        async with connect(named, **options(proxy, False, trusting, engine)) as ws:
            await ws.send("hello")
            assert await ws.recv() == "hello"
            assert ws.request.headers["Host"] == named[5:-1]


WITH_CREDENTIALS = {
    "squid": "http",
    "tinyproxy": "http",
    "microsocks": "socks5",
}


@pytest.mark.parametrize("name", WITH_CREDENTIALS)
@engines
async def test_credentials(
    name: str,
    engine: Any,
    tls_files: TlsFiles,
) -> None:
    maker: Maker = getattr(proxy_peers, name)
    scheme = WITH_CREDENTIALS[name]
    with running(maker, credentials=("me", "s3cret")) as port:
        async with echoing(tls_files, False) as uri:
            right = f"{scheme}://me:s3cret@127.0.0.1:{port}"
            async with connect(uri, proxy=right, engine=engine) as ws:
                await ws.send("hello")
                assert await ws.recv() == "hello"
            for userinfo in ("", "me:wrong@", "you:s3cret@"):
                with pytest.raises(ProxyError) as refused:
                    wrong = f"{scheme}://{userinfo}127.0.0.1:{port}"
                    await connect(uri, proxy=wrong, engine=engine)
                # Not worth trying again.
                assert process_exception(refused.value) is refused.value
                if scheme == "http":
                    assert isinstance(refused.value, InvalidProxyStatus)
                    assert refused.value.response.status_code in (401, 407)


@pytest.mark.parametrize("name", ["tinyproxy", "microsocks"])
async def test_reconnecting_when_the_proxy_is_back(
    name: str,
    tls_files: TlsFiles,
) -> None:
    maker: Maker = getattr(proxy_peers, name)
    port = free_port()
    stop = threading.Event()
    up = asyncio.Event()
    loop = asyncio.get_running_loop()

    def run(told: Callable[[], None]) -> None:
        with running(maker, port=port):
            loop.call_soon_threadsafe(told)
            stop.wait(30)

    async with echoing(tls_files, False) as uri:
        client = connect(uri, proxy=f"{WITH_CREDENTIALS[name]}://127.0.0.1:{port}")
        process: asyncio.Future[None] | None = None
        opened = 0

        def starting(exc: Exception) -> None:
            nonlocal process
            assert isinstance(exc, ConnectionRefusedError | ProxyError)
            if process is None:
                process = loop.run_in_executor(None, run, up.set)

        client.process_exception = starting  # type: ignore[assignment]
        try:
            async for ws in client:
                opened += 1
                await ws.send("hello")
                assert await ws.recv() == "hello"
                if opened == 1:
                    assert client.attempts
                    assert all("127.0.0.1" in each.reason for each in client.attempts)
                    await ws.send("cut")
                    await ws.wait_closed()
                else:
                    break
        finally:
            stop.set()
            if process is not None:
                await process
    assert up.is_set()
