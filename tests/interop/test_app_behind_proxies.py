"""An application behind nginx and HAProxy: who its clients are, and who may say so.

Clients connect from 127.0.0.2, so that they are told apart from the proxies, which connect from
127.0.0.1.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from duologue import App, connect
from duologue.exceptions import InvalidStatus

from .peer import PATIENCE, TlsFiles
from .proxies import free_port, haproxy, nginx
from .test_behind_proxies import haproxy_text, nginx_text

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere 127.0.0.2 is no address of this machine"
)
CLIENT = "127.0.0.2"


def application() -> App:
    """Says whom it sees, by HTTP and by WebSocket."""
    app = App()

    def facts(request: Any) -> dict[str, Any]:
        return {"client": request.client, "scheme": request.scheme, "host": request.host}

    @app.get("/")
    async def index(request: Any) -> dict[str, Any]:
        return facts(request)

    async def note(request: Any) -> None:
        await request.accept(user_data=facts(request))

    @app.websocket("/ws", on_request=note)
    async def tell(ws: Any) -> None:
        await ws.send(json.dumps(ws.user_data))
        await ws.send(await ws.recv())

    return app


class Visitor:
    """Visits through a proxy.

    Args:
        port: of the proxy.
        tls: how TLS is judged, ``None`` to do without.
    """

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._netloc = f"127.0.0.1:{port}"
        self._tls = tls

    async def get(self) -> Any:
        """What the application sees of a request."""
        scheme = "http" if self._tls is None else "https"
        transport = httpx.AsyncHTTPTransport(
            verify=True if self._tls is None else self._tls, local_address=CLIENT
        )
        async with httpx.AsyncClient(transport=transport) as client:
            answer = await client.get(f"{scheme}://{self._netloc}/")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def talk(self, origin: str | None = None) -> tuple[Any, Any]:
        """What the application sees of a handshake, and our own address."""
        scheme = "ws" if self._tls is None else "wss"
        more: dict[str, Any] = {} if self._tls is None else {"ssl": self._tls}
        url = f"{scheme}://{self._netloc}/ws"
        async with (
            asyncio.timeout(PATIENCE),
            connect(url, proxy=None, origin=origin, local_addr=(CLIENT, 0), **more) as ws,  # type: ignore[arg-type]
        ):
            facts = json.loads(await ws.recv())
            await ws.send("x" * 70_000)
            assert await ws.recv() == "x" * 70_000
            return facts, list(ws.local_address[:2])


@contextlib.asynccontextmanager
async def behind_nginx(
    folder: Path, tls_files: TlsFiles | None, **options: Any
) -> AsyncIterator[Visitor]:
    port = free_port()
    async with application().serving("127.0.0.1", 0, **options) as server:
        text = nginx_text(server.sockets[0].getsockname()[1], port, tls_files)
        async with nginx(folder, text, port):
            yield Visitor(port, trusting(tls_files))


@contextlib.asynccontextmanager
async def behind_haproxy(
    folder: Path, tls_files: TlsFiles | None, send: str, **options: Any
) -> AsyncIterator[Visitor]:
    port = free_port()
    async with application().serving("127.0.0.1", 0, **options) as server:
        backend = server.sockets[0].getsockname()[1]
        text = haproxy_text(
            backend,
            port,
            tls_files,
            front="http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]",
        )
        text = text.replace(f"127.0.0.1:{backend}", f"127.0.0.1:{backend} {send}")
        async with haproxy(folder, text, port):
            yield Visitor(port, trusting(tls_files))


def trusting(tls_files: TlsFiles | None) -> ssl.SSLContext | None:
    return None if tls_files is None else ssl.create_default_context(cafile=tls_files.authority)


@pytest.mark.needs_nginx
async def test_nginx_ends_tls_and_tells_of_clients(tmp_path: Path, tls_files: TlsFiles) -> None:
    async with behind_nginx(tmp_path, tls_files) as visitor:
        seen = await visitor.get()
        assert (seen["client"][0], seen["scheme"]) == (CLIENT, "https")
        host = seen["host"]
        # A page of the site itself, by the name that the browser used.
        seen, _ = await visitor.talk(f"https://{host}")
        assert (seen["client"][0], seen["scheme"], seen["host"]) == (CLIENT, "https", host)
        with pytest.raises(InvalidStatus) as caught:
            await visitor.talk("https://example.com")
        assert caught.value.response.status_code == 403


@pytest.mark.needs_nginx
@pytest.mark.parametrize(
    "options", [{"forwarded_allow_ips": "10.0.0.0/8"}, {"proxy_headers": False}]
)
async def test_what_an_untrusted_nginx_tells_is_nothing(
    tmp_path: Path, tls_files: TlsFiles, options: dict[str, Any]
) -> None:
    async with behind_nginx(tmp_path, tls_files, **options) as visitor:
        for seen in (await visitor.get(), (await visitor.talk())[0]):
            assert (seen["client"][0], seen["scheme"]) == ("127.0.0.1", "http")


@pytest.mark.needs_haproxy
@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("send", ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl"])
async def test_the_proxy_protocol_of_haproxy(
    tmp_path: Path, tls_files: TlsFiles, send: str, secure: bool
) -> None:
    tls = tls_files if secure else None
    async with behind_haproxy(tmp_path, tls, send, proxy_protocol=True) as visitor:
        seen = await visitor.get()
        assert seen["client"][0] == CLIENT
        # X-Forwarded-Proto came from HAProxy, but any client might have sent it that way. What
        # the preamble itself says is the proxy's.
        told = secure and send == "send-proxy-v2-ssl"
        assert seen["scheme"] == ("https" if told else "http")
        seen, ours = await visitor.talk()
        assert seen["client"] == ours


@pytest.mark.needs_haproxy
async def test_a_proxy_header_from_whom_it_is_not_expected(tmp_path: Path) -> None:
    """HAProxy gets nothing if its address isn't one of ``proxy_allow_ips``."""
    options = {"proxy_protocol": True, "proxy_allow_ips": "10.0.0.0/8"}
    async with behind_haproxy(tmp_path, None, "send-proxy-v2", **options) as visitor:
        with pytest.raises(InvalidStatus) as caught:
            await visitor.talk()
        assert caught.value.response.status_code in (502, 503)
