"""Numbers of an application, how Prometheus gets them, and structured logs."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import time
from typing import Any

import pytest

import duologue
from duologue import testing
from duologue.app.logs import JSONFormatter
from duologue.app.metrics import address, render
from duologue.app.stats import COUNTERS, NAMES, Stats
from duologue.base.traffic import traffic
from duologue.connection.ending import Cause

PATIENCE = 20
TEXT = "compress me " * 500


def counting() -> duologue.App:
    app = duologue.App()

    @app.websocket("/echo")
    async def echo(ws: duologue.ServerConnection) -> None:
        ws.subscribe("all")
        async for message in ws:
            await ws.send(message)

    @app.get("/slow")
    async def slow(request: Any) -> str:
        await asyncio.sleep(3)
        return "slow"

    return app


@pytest.mark.virtual_time
async def test_what_an_application_counts() -> None:
    app = counting()
    before = traffic()
    async with testing.client(app) as c:
        assert app.stats().connections == 0
        ws = await c.connect("/echo")
        await ws.send(TEXT)
        assert await ws.recv() == TEXT
        await ws.close()
        ws = await c.connect("/echo")
        await c.get("/slow")
        stats = app.stats()
        assert (stats.connections, stats.connections_total) == (1, 2)
        assert stats.topics == 1
        assert (stats.requests, stats.handler_seconds, stats.handler_seconds_max) == (1, 3.0, 3.0)
        # Both ends are in this process.
        assert stats.messages_sent - before.messages_sent == 2
        assert stats.messages_received - before.messages_received == 2
        assert 0 < stats.octets_sent - before.octets_sent < len(TEXT)
        assert 0 < stats.octets_received - before.octets_received < len(TEXT)
        assert traffic().uncompressed - before.uncompressed == 2 * len(TEXT)
        assert 0 < traffic().compressed - before.compressed < len(TEXT) / 10
        assert stats.compression_ratio > 1
    assert app.stats().connections == 0


@pytest.mark.virtual_time
async def test_why_connections_ended() -> None:
    app = duologue.App(max_size=1000)

    @app.websocket("/")
    async def echo(ws: duologue.ServerConnection) -> None:
        async for message in ws:
            await ws.send(message)

    async with testing.client(app) as c:
        before = app.stats().ended
        assert set(before) == {cause.name.lower() for cause in Cause}
        await (await c.connect("/")).close()
        ws = await c.connect("/", compression=None)
        await ws.send("x" * 1001)
        await ws.wait_closed()
        # Both ends are in this process, and the server's may take a turn longer.
        await asyncio.sleep(1)
        now = app.stats().ended
        more = {cause: now[cause] - before[cause] for cause in now if now[cause] > before[cause]}
        assert more == {"closed_here": 1, "peer_closed": 2, "limit": 1}
        text = render({"1": dataclasses.asdict(app.stats())})
        assert (
            f'duologue_connections_ended_total{{worker="1",cause="limit"}} {now["limit"]}\n' in text
        )


@pytest.mark.virtual_time
async def test_round_trips() -> None:
    app = duologue.App(ping_interval=5.0)

    @app.websocket("/")
    async def wait(ws: duologue.ServerConnection) -> None:
        await ws.wait_closed()

    network = testing.SimulatedNetwork(delay=0.25)
    async with testing.client(app, network=network) as c:
        await c.connect("/", ping_interval=None)
        assert app.stats().rtt == 0
        await asyncio.sleep(6)
        assert (app.stats().rtt, app.stats().rtt_max) == (0.5, 0.5)


async def test_a_blocked_loop() -> None:
    app = counting()
    async with testing.client(app):
        assert app.stats().loop_lag_max == 0
        time.sleep(0.8)  # which no loop should
        async with asyncio.timeout(PATIENCE):
            while app.stats().loop_lag_max < 0.25:
                await asyncio.sleep(0.01)


async def read(place: tuple[str, int], path: str = "/metrics") -> tuple[str, str]:
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(*place)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        octets = await reader.read()
        writer.close()
        await writer.wait_closed()
    head, _, body = octets.decode().partition("\r\n\r\n")
    return head, body


async def test_an_endpoint_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "duologue.app")
    app = counting()
    async with app.serving("127.0.0.1", 0, metrics="127.0.0.1:0") as server:
        (line,) = [each for each in caplog.messages if each.startswith("metrics at ")]
        port = int(line.rpartition(":")[2].partition("/")[0])
        assert port != server.sockets[0].getsockname()[1]
        async with duologue.connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/echo"):
            head, body = await read(("127.0.0.1", port))
        assert head.startswith("HTTP/1.1 200 ")
        types = [line for line in head.splitlines() if line.startswith("Content-Type")]
        assert types == ["Content-Type: text/plain; version=0.0.4; charset=utf-8"]
        assert 'duologue_connections{worker="1"} 1\n' in body
        assert (await read(("127.0.0.1", port), "/"))[0].startswith("HTTP/1.1 404 ")
        # It is nowhere else.
        head, _ = await read(server.sockets[0].getsockname()[:2])
        assert head.startswith("HTTP/1.1 404 ")


def test_the_format() -> None:
    text = render({"1": dataclasses.asdict(Stats(rtt=0.5)), "2": dataclasses.asdict(Stats())})
    lines = text.splitlines()
    assert 'duologue_rtt_seconds{worker="1"} 0.5' in lines
    assert "# TYPE duologue_connections_opened_total counter" in lines
    assert 'duologue_messages_dropped_total{worker="2",cause="oldest"} 0' in lines
    assert text.endswith("\n")
    described = [line.split()[2] for line in lines if line.startswith("# HELP")]
    assert len(described) == len(set(described)) == len(NAMES) - 3
    assert set(NAMES) >= COUNTERS


def test_metrics_are_told_where_asked_for() -> None:
    assert address(9000) == ("127.0.0.1", 9000)
    assert address("0.0.0.0:9000") == ("0.0.0.0", 9000)
    assert address("[::1]:9000") == ("::1", 9000)
    with pytest.raises(ValueError, match="host:port"):
        address("nowhere")


async def test_structured_logs() -> None:
    seen: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = seen.append  # type: ignore[method-assign]
    logger = logging.getLogger("duologue.test.structured")
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.INFO)
    app = duologue.App(logger=logger)

    @app.websocket("/fail")
    async def fail(ws: duologue.ServerConnection) -> None:
        raise RuntimeError("on purpose")

    try:
        async with testing.client(app) as c:
            ws = await c.connect("/fail")
            await ws.wait_closed()
        (record,) = [each for each in seen if each.levelno == logging.ERROR]
        fields = json.loads(JSONFormatter().format(record))
    finally:
        seen.clear()
        logger.removeHandler(handler)
        del record
    assert fields["level"] == "error"
    assert fields["path"] == "/fail"
    assert fields["peer"].startswith("10.0.0.1:")
    assert fields["process"] == os.getpid()
    assert fields["exception"].endswith("RuntimeError: on purpose")
    assert fields["time"].endswith("Z")
    assert len(fields["connection"]) == 36


def test_more_fields() -> None:
    record = logging.makeLogRecord({"msg": "hello %s", "args": ("you",), "room": {1}})
    fields = json.loads(JSONFormatter().format(record))
    assert fields["message"] == "hello you"
    assert fields["room"] == "{1}"
