"""``duologue connect --check`` of servers that aren't ours, and of proxies set up wrongly."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import websockets.asyncio.server

from duologue.cli.check.advice import advise
from duologue.cli.check.findings import Finding, Report, Verdict
from duologue.cli.check.plan import Plan
from duologue.cli.check.visit import check
from duologue.uri import parse_uri

from .node_peers import PEERS_FOLDER, reap
from .peer import TlsFiles
from .proxies import free_port, haproxy, nginx
from .subject import serve
from .test_behind_proxies import Front, all_fronts, before, haproxy_text, nginx_text

# asyncio's TLS transports, which the check uses, need a turn to be gone.
pytestmark = pytest.mark.leftovers_allowed

WITHOUT_FAULT = [
    "handshake",
    "subprotocol",
    "extensions",
    "ping",
    "rtt",
    "pong",
    "echo",
    "compression",
    "fragments",
    "message size",
    "close",
    "tcp end",
    "frames",
]


async def examine(url: str, tls_files: TlsFiles | None = None, **options: Any) -> Report:
    tls = None
    if url.startswith("wss:"):
        assert tls_files is not None
        tls = ssl.create_default_context(cafile=tls_files.authority)
        tls.set_alpn_protocols(["http/1.1"])
    options.setdefault("patience", 2.0)
    report = Report(url)
    await check(Plan(url, parse_uri(url), tls=tls, **options), report)
    return report


def line(report: Report, step: str) -> Finding:
    return [finding for finding in report.findings if finding.step == step][-1]


def problems(report: Report) -> dict[str, str]:
    return {each.step: each.text for each in report.findings if each.verdict is Verdict.PROBLEM}


def assert_healthy(report: Report, secure: bool, *, noted: str = "") -> None:
    assert problems(report) == {}
    for step in WITHOUT_FAULT:
        if step == noted:
            continue
        assert line(report, step).verdict is Verdict.OK, line(report, step)
    assert bool([each for each in report.findings if each.step == "certificate"]) is secure
    assert line(report, "compression").details["answer_compressed"]


@contextlib.asynccontextmanager
async def npm_ws(tls_files: TlsFiles, secure: bool, **environment: str) -> AsyncIterator[str]:
    if secure:
        environment["PEER_CERTIFICATE"] = str(tls_files.certificate)
    process = await asyncio.create_subprocess_exec(
        "node",
        str(PEERS_FOLDER / "echo-server.mjs"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    try:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        yield f"{'wss' if secure else 'ws'}://127.0.0.1:{port}/"
    finally:
        await reap(process)


@contextlib.asynccontextmanager
async def websockets_echo(tls_files: TlsFiles, secure: bool, **options: Any) -> AsyncIterator[str]:
    if secure:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(tls_files.certificate)
        options["ssl"] = context

    async def handler(websocket: Any) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            async for message in websocket:
                await websocket.send(message)

    async with websockets.asyncio.server.serve(handler, "127.0.0.1", 0, **options) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"{'wss' if secure else 'ws'}://127.0.0.1:{port}/"


async def echo(websocket: Any) -> None:
    async for message in websocket:
        await websocket.send(message)


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.needs_node
async def test_npm_ws_is_healthy(secure: bool, tls_files: TlsFiles) -> None:
    async with npm_ws(tls_files, secure) as url:
        report = await examine(url, tls_files, idle=0.2)
    # Unless told otherwise it takes the first subprotocol offered.
    assert_healthy(report, secure, noted="subprotocol")
    assert "it agrees to any" in line(report, "subprotocol").text
    # Node's HTTP server leaves requests alone that nobody handles.
    assert line(report, "http").text == "a plain GET fails: no answer within 2 s"


@pytest.mark.needs_node
async def test_the_limit_of_npm_ws_is_found(tls_files: TlsFiles) -> None:
    async with npm_ws(tls_files, False, MAX_PAYLOAD="70000") as url:
        report = await examine(url)
    details = line(report, "message size").details
    assert details["accepted"] <= 70000 < details["refused"]
    assert details["code"] == 1009
    assert problems(report) == {}


@pytest.mark.parametrize("secure", [False, True])
async def test_websockets_is_healthy(secure: bool, tls_files: TlsFiles) -> None:
    async with websockets_echo(tls_files, secure) as url:
        report = await examine(url, tls_files, idle=0.2)
    assert_healthy(report, secure)
    assert "websockets/" in report.software
    assert line(report, "http").details["status"] == 426


async def test_the_limit_of_websockets_is_found(tls_files: TlsFiles) -> None:
    async with websockets_echo(tls_files, False, max_size=65536) as url:
        report = await examine(url)
    assert line(report, "message size").details == {
        "accepted": 65536,
        "refused": 65537,
        "code": 1009,
    }


async def test_origins_of_websockets(tls_files: TlsFiles) -> None:
    async with websockets_echo(tls_files, False, origins=[None]) as url:
        report = await examine(url)
    assert line(report, "origin").text.endswith("is refused with 403")
    assert line(report, "origin").verdict is Verdict.OK
    assert "origin" not in report.topics


@all_fronts
async def test_a_proxy_set_up_as_documented(
    front: Front, tmp_path: Path, tls_files: TlsFiles
) -> None:
    async with (
        serve(echo, "127.0.0.1", 0, max_size=None) as server,
        before(front, server.sockets[0].getsockname()[1], tmp_path, tls_files) as url,
    ):
        report = await examine(url, tls_files, idle=0.2, max_message=300_000)
    assert_healthy(report, front.secure)
    if front.proxy == "nginx":
        assert "nginx" in report.software


@pytest.mark.needs_nginx
class TestNginx:
    async def run(self, folder: Path, replace: tuple[str, str], **options: Any) -> Report:
        async with serve(echo, "127.0.0.1", 0) as server:
            port = free_port()
            text = nginx_text(server.sockets[0].getsockname()[1], port, None)
            assert replace[0] in text
            async with nginx(folder, text.replace(*replace), port):
                return await examine(f"ws://127.0.0.1:{port}/", **options)

    @pytest.mark.parametrize(
        "line_left_out",
        [
            "proxy_set_header Upgrade $http_upgrade;",
            "proxy_set_header Connection $connection_upgrade;",
            "proxy_http_version 1.1;",
        ],
    )
    async def test_each_line_that_forwards_the_upgrade_is_missed(
        self, line_left_out: str, tmp_path: Path
    ) -> None:
        report = await self.run(tmp_path, (line_left_out, ""))
        assert list(problems(report)) == ["handshake"]
        assert report.topics == ["upgrade"]
        (advice,) = advise(report)
        assert [one.server for one in advice.snippets] == ["nginx"]
        assert line_left_out in advice.snippets[0].code

    async def test_an_upgrade_that_got_lost_is_told_from_one_that_was_refused(
        self, tmp_path: Path
    ) -> None:
        report = await self.run(tmp_path, ("proxy_set_header Upgrade $http_upgrade;", ""))
        assert "Upgrade and Connection don't reach the server" in problems(report)["handshake"]

    async def test_the_time_limit_of_reading(self, tmp_path: Path) -> None:
        change = ("proxy_http_version 1.1;", "proxy_http_version 1.1; proxy_read_timeout 1s;")
        report = await self.run(tmp_path, change, idle=3.0)
        assert list(problems(report)) == ["idle"]
        assert 0.9 < line(report, "idle").details["pings"] + 1 <= 1
        seconds = line(report, "idle").seconds
        assert seconds is not None and 0.9 < seconds < 2.5
        (advice,) = [one for one in advise(report) if one.topic == "idle"]
        assert "proxy_read_timeout 1h;" in advice.snippets[0].code

    async def test_nobody_behind_it(self, tmp_path: Path) -> None:
        port = free_port()
        async with nginx(tmp_path, nginx_text(free_port(), port, None), port):
            report = await examine(f"ws://127.0.0.1:{port}/")
        assert "HTTP 502 Bad Gateway" in problems(report)["handshake"]
        assert report.topics == ["backend"]

    async def test_ws_on_the_port_of_wss(self, tmp_path: Path, tls_files: TlsFiles) -> None:
        port = free_port()
        async with nginx(tmp_path, nginx_text(free_port(), port, tls_files), port):
            report = await examine(f"ws://127.0.0.1:{port}/")
        assert "use wss instead of ws" in problems(report)["handshake"]

    async def test_a_path_that_is_not_there(self, tmp_path: Path) -> None:
        report = await self.run(tmp_path, ("location /", "location /chat"))
        assert "HTTP 404 Not Found" in problems(report)["handshake"]
        assert "nothing is at this path" in problems(report)["handshake"]


@pytest.mark.needs_haproxy
class TestHaproxy:
    async def run(self, folder: Path, *, idle: float | None = None, **changes: str) -> Report:
        async with serve(echo, "127.0.0.1", 0) as server:
            port = free_port()
            text = haproxy_text(server.sockets[0].getsockname()[1], port, None, **changes)
            async with haproxy(folder, text, port):
                return await examine(f"ws://127.0.0.1:{port}/", idle=idle)

    async def test_a_rule_that_takes_the_upgrade_away(self, tmp_path: Path) -> None:
        report = await self.run(tmp_path, front="http-request del-header Upgrade")
        assert list(problems(report)) == ["handshake"]
        assert report.topics == ["upgrade"]

    async def test_the_time_limit_of_tunnels(self, tmp_path: Path) -> None:
        report = await self.run(tmp_path, back="timeout tunnel 1s", idle=3.0)
        assert list(problems(report)) == ["idle"]
        (advice,) = [one for one in advise(report) if one.topic == "idle"]
        assert "timeout tunnel 1h\n" in [one.code for one in advice.snippets]

    async def test_nobody_behind_it_and_its_name_is_known_all_the_same(
        self, tmp_path: Path
    ) -> None:
        port = free_port()
        async with haproxy(tmp_path, haproxy_text(free_port(), port, None), port):
            report = await examine(f"ws://127.0.0.1:{port}/", patience=15.0)
        assert "HTTP 503 Service Unavailable" in problems(report)["handshake"]
        (advice,) = advise(report)
        assert advice.topic == "backend"
        assert [one.server for one in advice.snippets] == ["haproxy"]
