"""The lifespan of hosted applications."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import duologue.asgi
from duologue.asgi.lifespan import Lifespan
from duologue.exceptions import ASGIError

from .rig import serving


class Application:
    """Does what each test says when it begins and ends; answers with its state."""

    def __init__(self, startup: str = "complete", shutdown: str = "complete") -> None:
        self.ends = {"startup": startup, "shutdown": shutdown}
        self.log: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            self.log.append(f"request with {scope['state']}")
            scope["state"]["own"] = 1
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body"})
            return
        scope["state"]["a"] = 1
        for phase, end in self.ends.items():
            assert await receive() == {"type": f"lifespan.{phase}"}
            self.log.append(phase)
            if end == "raise":
                raise ZeroDivisionError
            if end == "return":
                return
            await send({"type": f"lifespan.{phase}.{end}", "message": "on purpose"})


async def test_begin_and_end() -> None:
    app = Application()
    async with serving(app, lifespan="on") as served:
        assert app.log == ["startup"]
        await served.get()
        await served.get()
    assert app.log == ["startup", *["request with {'a': 1}"] * 2, "shutdown"]


@pytest.mark.parametrize("end", ["raise", "return"])
async def test_an_application_without(end: str) -> None:
    app = Application(startup=end)
    async with serving(app, lifespan="auto") as served:
        assert (await served.get()).startswith(b"HTTP/1.1 200 ")
    with pytest.raises(ASGIError, match="ended before its startup"):
        await duologue.asgi.serve(app, "127.0.0.1", 0, lifespan="on")


async def test_a_failed_startup() -> None:
    with pytest.raises(ASGIError, match="the application's startup failed: on purpose"):
        await duologue.asgi.serve(Application(startup="failed"), "127.0.0.1", 0)


@pytest.mark.parametrize("end", ["raise", "failed"])
async def test_a_failed_shutdown(end: str, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(Application(shutdown=end), lifespan="auto"):
        pass
    assert [each.levelno for each in caplog.records if each.levelno >= logging.ERROR] == [
        logging.ERROR
    ]


async def test_off() -> None:
    app = Application()
    async with serving(app, lifespan="off"):
        pass
    assert app.log == []
    with pytest.raises(ValueError, match="'auto', 'on' or 'off', not 'maybe'"):
        Lifespan(app, "maybe")  # type: ignore[arg-type]


async def test_a_server_that_cannot_listen_ends_it() -> None:
    app = Application()
    with pytest.raises(OSError):
        await duologue.asgi.serve(app, "192.0.2.1", 0)
    assert app.log == ["startup", "shutdown"]


async def test_answers_out_of_turn() -> None:
    raised = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for kind in ("lifespan.shutdown.complete", "http.response.start"):
            try:
                await send({"type": kind})
            except ASGIError as exc:
                raised.append(str(exc))
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()

    lifespan = Lifespan(app, "on")
    await lifespan.startup()
    assert raised == [
        "'lifespan.shutdown.complete' was sent out of turn",
        "'http.response.start' was sent out of turn",
    ]
    await lifespan.shutdown()
