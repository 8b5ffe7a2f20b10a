"""What goes to the logs, and to which logger."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from .ends import accepting, ends, turns, url
from .library import Library


async def test_default_loggers(lib: Library, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger=lib.name):
        async with ends(lib) as (client, _):
            await client.send("hello")
    names = {record.name for record in caplog.records}
    assert {f"{lib.name}.client", f"{lib.name}.server"} <= names


@pytest.mark.parametrize("kind", [logging.getLogger, "adapter"])
async def test_logger(lib: Library, caplog: pytest.LogCaptureFixture, kind: Any) -> None:
    def make(name: str) -> Any:
        logger = logging.getLogger(name)
        return logging.LoggerAdapter(logger, {"extra": "yes"}) if kind == "adapter" else logger

    with caplog.at_level(logging.DEBUG):
        async with ends(
            lib, logger=make("behaviour.one"), remote={"logger": make("behaviour.two")}
        ) as (client, server):
            await client.send("hello")
            assert await server.recv() == "hello"
    names = {record.name for record in caplog.records}
    assert {"behaviour.one", "behaviour.two"} <= names
    assert not {name for name in names if name.startswith(lib.name)}


async def test_connections_have_their_logger(lib: Library, role: str) -> None:
    logger = logging.getLogger("behaviour.attribute")
    async with ends(lib, role, logger=logger) as (local, _):
        assert isinstance(local.logger, (logging.Logger, logging.LoggerAdapter))
        assert local.logger.isEnabledFor(logging.CRITICAL)


async def test_frames_at_debug(lib: Library, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="behaviour.frames"):
        logger = logging.getLogger("behaviour.frames")
        async with ends(lib, "client", logger=logger) as (client, server):
            await client.send("hello")
            await server.send("goodbye")
            assert await client.recv() == "goodbye"
    text = "\n".join(record.getMessage() for record in caplog.records)
    assert "> TEXT 'hello' [5 bytes]" in text
    assert "< TEXT 'goodbye' [7 bytes]" in text
    assert "> GET / HTTP/1.1" in text
    assert "< HTTP/1.1 101 Switching Protocols" in text
    assert "= connection is CLOSED" in text


async def test_life_of_a_server_at_info(lib: Library, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("behaviour.life")
    with caplog.at_level(logging.INFO, logger="behaviour.life"):
        async with accepting(lib, logger=logger) as (server, accepted):
            host, port = server.sockets[0].getsockname()[:2]
            async with lib.connect(url(server)):
                await accepted.get()
            await turns()
    messages = [r.getMessage() for r in caplog.records if r.name == "behaviour.life"]
    assert f"server listening on {host}:{port}" in messages
    assert "connection open" in messages
    assert "connection closed" in messages
    assert messages[-1] == "server closed"


async def test_records_name_the_connection(lib: Library, caplog: pytest.LogCaptureFixture) -> None:
    seen = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            websocket = getattr(record, "websocket", None)
            if websocket is not None:
                seen.append(str(websocket.id))

    logger = logging.getLogger("behaviour.records")
    logger.setLevel(logging.DEBUG)
    handler = Handler()
    logger.addHandler(handler)
    try:
        async with ends(lib, logger=logger) as (client, server):
            await client.send("hello")
            assert await server.recv() == "hello"
            assert set(seen) == {str(client.id)}
    finally:
        logger.removeHandler(handler)


async def test_nothing_is_logged_above_info_in_a_quiet_life(
    lib: Library, caplog: pytest.LogCaptureFixture
) -> None:
    async with ends(lib) as (client, server):
        await client.send("hello")
        assert await server.recv() == "hello"
    assert [r.getMessage() for r in caplog.records if r.levelno > logging.INFO] == []
