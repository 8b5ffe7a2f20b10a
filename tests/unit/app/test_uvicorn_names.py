"""Options of uvicorn.run(): each is kept, or refused with the way to what it was for."""

from __future__ import annotations

import inspect
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import uvicorn

import duologue
from duologue.app import serving
from duologue.app.logs import configure_logging
from duologue.app.uvicorn_names import taken

IDLE = {
    "http": "auto",
    "interface": "auto",
    "lifespan": "on",
    "loop": "auto",
    "reload": False,
    "use_colors": None,
    "ws": "auto",
    "ws_per_message_deflate": True,
}


def test_every_option_of_uvicorn_is_kept_or_refused() -> None:
    own = set(inspect.signature(serving.serving).parameters)
    own |= set(inspect.signature(duologue.App.run).parameters)
    for name in inspect.signature(uvicorn.run).parameters:
        if name == "app" or name in own:
            continue
        try:
            found = taken({name: object()})
        except TypeError as error:
            assert str(error).startswith(f"{name}=")
            assert ": " in str(error)
        else:
            assert set(found) <= own, name


@pytest.mark.parametrize("name", ["ws_max_size", "reload", "limit_concurrency", "date_header"])
def test_refusals_come_at_once(name: str) -> None:
    app = duologue.App()
    with pytest.raises(TypeError, match=rf"{name}=7 is not for App\.run\(\)"):
        app.serving("127.0.0.1", 0, **{name: 7})
    with pytest.raises(TypeError, match=rf"{name}=7 is not for App\.run\(\)"):
        app.run("127.0.0.1", 0, log_level=None, **{name: 7})


async def test_values_that_change_nothing_pass(visiting: Any) -> None:
    async with visiting(duologue.App(), **IDLE) as site:
        assert (await site.ask("GET", "/")).status_code == 404


def test_what_is_unknown_to_both_is_refused() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        duologue.App().serving(colour=1)


async def test_names_for_the_same() -> None:
    async with duologue.App().serving("127.0.0.1", 0, timeout_graceful_shutdown=7) as server:
        assert server.drain_timeout == 7
    with pytest.raises(ValueError, match="are the same"):
        duologue.App().serving(timeout_graceful_shutdown=7, drain_timeout=8)


async def test_time_between_requests(visiting: Any) -> None:
    async with visiting(duologue.App(), timeout_keep_alive=0.05) as site, site.link() as link:
        link.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await link.answer()).status_code == 404
        assert await link.reader.read() == b""
    with pytest.raises(ValueError, match="keep_alive_timeout"):
        async with duologue.App().serving("127.0.0.1", 0, timeout_keep_alive=-1):
            pass


async def test_no_name_of_the_server(visiting: Any) -> None:
    for server_header in (True, False):
        app = duologue.App()

        @app.websocket("/")
        async def talk(ws: Any) -> None:
            pass

        async with visiting(app, server_header=server_header) as site:
            assert ("Server" in (await site.ask("GET", "/x")).headers) is server_header
            async with site.connect() as ws:
                assert ("Server" in ws.response.headers) is server_header


async def test_a_root_path(visiting: Any) -> None:
    app = duologue.App()

    @app.get("/url")
    async def url(request: Any) -> str:
        return request.url  # type: ignore[no-any-return]

    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = json.dumps([scope["root_path"], scope["path"], scope["raw_path"].decode()])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body.encode()})

    app.mount("/sub", mounted)
    async with visiting(app, root_path="/api/") as site:
        assert (await site.ask("GET", "/url?a=b")).body == b"http://localhost/api/url?a=b"
        told = json.loads((await site.ask("GET", "/sub/caf%C3%A9")).body)
        assert told == ["/api/sub", "/api/sub/café", "/api/sub/caf%C3%A9"]
    with pytest.raises(ValueError, match="begins with a slash"):
        async with app.serving("127.0.0.1", 0, root_path="api"):
            pass


def test_several_workers_or_none_said(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Any] = []

    def run(main: Any) -> None:
        served.append(main)
        main.close()

    monkeypatch.setattr("duologue.app.application.run", run)
    duologue.App().run(workers=None, log_level=None)
    assert len(served) == 1


# log_config


@pytest.fixture
def logger() -> Any:
    logger = logging.getLogger("duologue.test_uvicorn_names")
    logger.setLevel(logging.NOTSET)
    yield logger
    logger.setLevel(logging.NOTSET)


def test_logging_by_a_dictionary_or_its_file(logger: logging.Logger, tmp_path: Path) -> None:
    for level, as_file in (("ERROR", False), ("CRITICAL", True)):
        config: Any = {
            "version": 1,
            "disable_existing_loggers": False,
            "loggers": {logger.name: {"level": level}},
        }
        if as_file:
            (tmp_path / "log.json").write_text(json.dumps(config))
            config = tmp_path / "log.json"
        configure_logging(config)
        assert logging.getLevelName(logger.level) == level


def test_logging_of_a_program_is_left_alone(logger: logging.Logger) -> None:
    before = logging.root.handlers.copy(), logging.root.level
    configure_logging(None)
    assert (logging.root.handlers, logging.root.level) == before


def test_logging_that_can_not_be_understood() -> None:
    with pytest.raises(ValueError, match="YAML"):
        configure_logging("log.yaml")
    with pytest.raises(FileNotFoundError):
        configure_logging("/nonexistent/log.json")
