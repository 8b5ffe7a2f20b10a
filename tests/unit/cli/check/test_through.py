"""Checks that go through a proxy."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

import pytest
import trustme

from duologue.cli.check.findings import Report, Verdict
from duologue.cli.check.visit import check
from duologue.client.proxy import parse_proxy

from .faulty import Faulty, serving
from .test_tls import secured
from .test_visit import line, plan_for, problems


class Proxy:
    """An HTTP proxy that makes tunnels, or whatever ``answer`` says."""

    def __init__(self, answer: bytes | None = None) -> None:
        self.answer = answer
        self.heads: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            if self.answer is not None:
                writer.write(self.answer)
            else:
                target = head.split(b" ")[1].decode()
                await self.tunnel(target, reader, writer)
        await self.end(writer)

    async def tunnel(
        self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        host, _, port = target.rpartition(":")
        there, back = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(self.copy(reader, back), self.copy(there, writer))

    async def copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while octets := await reader.read(65536):
                writer.write(octets)
        await self.end(writer)

    async def end(self, writer: asyncio.StreamWriter) -> None:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def proxying(proxy: Proxy) -> AsyncIterator[str]:
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        server.close()
        await asyncio.sleep(0.05)


async def run(url: str, proxy: str, **options) -> Report:
    report = Report(url)
    await check(plan_for(url, proxy=parse_proxy(proxy), **options), report)
    return report


async def test_everything_goes_through_it():
    proxy = Proxy()
    async with serving(Faulty()) as url, proxying(proxy) as address:
        report = await run(url, f"http://ann:secret@{address}")
    assert problems(report) == []
    assert line(report, "proxy").verdict is Verdict.OK
    assert "secret" not in line(report, "proxy").text
    steps = [finding.step for finding in report.findings]
    assert steps[:2] == ["proxy", "tls"]
    assert "dns" not in steps and "tcp" not in steps
    assert len(proxy.heads) == report.sent.connections
    assert all(b"Proxy-Authorization: Basic YW5uOnNlY3JldA==" in head for head in proxy.heads)


@pytest.mark.leftovers_allowed
async def test_tls_through_it():
    authority = trustme.CA()
    tls = ssl.create_default_context()
    authority.configure_trust(tls)
    async with (
        secured(authority, "127.0.0.1") as (port, _, _),
        proxying(Proxy()) as address,
    ):
        report = await run(f"wss://127.0.0.1:{port}/", f"http://{address}", tls=tls)
    assert problems(report) == []
    assert line(report, "tls").details["version"] == "TLSv1.3"
    assert line(report, "certificate").verdict is Verdict.OK


@pytest.mark.leftovers_allowed
async def test_tls_through_a_proxy_over_tls(monkeypatch, tmp_path):
    authority = trustme.CA()
    path = str(tmp_path / "authority.pem")
    authority.cert_pem.write_to_path(path)
    monkeypatch.setenv("SSL_CERT_FILE", path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    proxy = Proxy()
    async with (
        secured(authority, "127.0.0.1") as (port, _, _),
        await asyncio.start_server(proxy.serve, "127.0.0.1", 0, ssl=context) as server,
    ):
        address = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        tls = ssl.create_default_context()
        report = await run(f"wss://127.0.0.1:{port}/", address, tls=tls)
        server.close()
        await asyncio.sleep(0.05)
    assert problems(report) == []
    assert proxy.heads


async def test_a_socks_proxy():
    pytest.importorskip("python_socks")

    class Socks(Proxy):
        async def serve(self, reader, writer):
            with contextlib.suppress(OSError, EOFError):
                assert await reader.readexactly(3) == b"\x05\x01\x00"
                writer.write(b"\x05\x00")
                head = await reader.readexactly(10)
                assert head[:4] == b"\x05\x01\x00\x01"
                self.heads.append(head)
                writer.write(b"\x05\x00\x00\x01" + bytes(6))
                host = ".".join(str(octet) for octet in head[4:8])
                there, back = await asyncio.open_connection(host, int.from_bytes(head[8:]))
                await asyncio.gather(self.copy(reader, back), self.copy(there, writer))
            await self.end(writer)

    proxy = Socks()
    async with serving(Faulty()) as url, proxying(proxy) as address:
        report = await run(url, f"socks5://{address}")
    assert problems(report) == []
    assert len(proxy.heads) == report.sent.connections


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "it wants credentials: --proxy"),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "403"),
        (b"SSH-2.0-OpenSSH\r\n", "the proxy did not answer in HTTP"),
        (b"", "the proxy ended TCP without an answer"),
    ],
)
async def test_a_proxy_that_refuses(answer, words):
    async with proxying(Proxy(answer)) as address:
        report = await run("ws://127.0.0.1:9/", f"http://{address}")
    assert problems(report) == ["proxy"]
    assert words in line(report, "proxy").text
    assert line(report, "proxy").text.startswith(f"http://{address}: ")


async def test_a_proxy_that_is_not_there():
    async with proxying(Proxy()) as address:
        pass
    for scheme in ("http", "socks5"):
        report = await run("ws://127.0.0.1:9/", f"{scheme}://{address}")
        assert problems(report) == ["proxy"]


async def test_a_proxy_that_is_silent():
    class Silent(Proxy):
        async def serve(self, reader, writer):
            await reader.read()
            await self.end(writer)

    async with proxying(Silent()) as address:
        report = await run("ws://127.0.0.1:9/", f"http://{address}")
    assert "no answer within 0.6 s" in line(report, "proxy").text
