"""An ASGI application's lifespan: told when the server begins and when it ends.

Invariants: the application runs in one task from :meth:`Lifespan.startup` to its own end; each of
the two events is sent once and answered once.

Source: ASGI lifespan protocol 2.0.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, Literal

from duologue.asgi.scope import ASGI_VERSION, LIFESPAN_VERSION, ASGIApplication, Event
from duologue.base.exceptions import ASGIError

_logger = logging.getLogger("duologue.asgi")

LifespanMode = Literal["auto", "on", "off"]


class Lifespan:
    """Runs the lifespan of one application.

    Args:
        app: the application.
        mode: ``"on"``; ``"auto"`` to do without if the application knows no lifespan (it raises, or
            returns, instead of answering); ``"off"`` to not even ask.

    Attributes:
        state: what the application keeps for its requests, each of which gets a shallow copy.
    """

    def __init__(self, app: ASGIApplication, mode: LifespanMode = "auto") -> None:
        if mode not in ("auto", "on", "off"):
            raise ValueError(f"lifespan must be 'auto', 'on' or 'off', not {mode!r}")
        self.state: dict[str, Any] = {}
        self._app = app
        self._mode = mode
        self._task: asyncio.Task[None] | None = None
        self._phase = ""
        self._received = False
        self._shutting_down = asyncio.Event()
        self._answer: asyncio.Future[str | None] | None = None

    async def startup(self) -> None:
        """Start the application.

        Raises:
            ASGIError: If it says that it failed, or raises while the mode is ``"on"``.
        """
        if self._mode == "off" or self._task is not None:
            return
        loop = asyncio.get_running_loop()
        self._phase, self._answer = "startup", loop.create_future()
        self._task = loop.create_task(self._run(), name="ASGI lifespan")
        await self._settled(self._task, self._answer)
        if self._answer.done():
            failure = self._answer.result()
            if failure is not None:
                await self._stop()
                raise ASGIError(f"the application's startup failed: {failure}")
            return
        exc = None if self._task.cancelled() else self._task.exception()
        if self._mode == "on":
            raise ASGIError("the application's lifespan ended before its startup") from exc
        _logger.info("the application has no lifespan: %r", exc)

    async def shutdown(self) -> None:
        """Tell the application that it ends; logs an error if it fails at that."""
        if self._task is None or (self._task.done() and self._phase == "startup"):
            if self._task is not None and self._answer is not None and self._answer.done():
                self._log_early_end(self._task)
            return
        self._phase, self._answer = "shutdown", asyncio.get_running_loop().create_future()
        self._shutting_down.set()
        await self._settled(self._task, self._answer)
        failure = self._answer.result() if self._answer.done() else None
        if failure is not None:
            _logger.error("the application's shutdown failed: %s", failure)
        await self._stop()

    async def _settled(self, task: asyncio.Task[None], answer: asyncio.Future[str | None]) -> None:
        try:
            waiting: set[asyncio.Future[Any]] = {task, answer}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            raise

    def _log_early_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (exc := task.exception()) is not None:
            _logger.error("the application's lifespan failed", exc_info=exc)

    async def _stop(self) -> None:
        """Let the task end, which has answered for the last time."""
        if self._task is None:
            return
        with contextlib.suppress(asyncio.CancelledError):
            done, _ = await asyncio.wait({self._task}, timeout=1)
            if not done:
                self._task.cancel()
                await asyncio.wait({self._task})
        self._log_early_end(self._task)

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": ASGI_VERSION, "spec_version": LIFESPAN_VERSION},
            "state": self.state,
        }
        await self._app(scope, self._receive, self._send)

    async def _receive(self) -> Event:
        if not self._received:
            self._received = True
            return {"type": "lifespan.startup"}
        await self._shutting_down.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, event: Event) -> None:
        kind = event["type"]
        complete, failed = (f"lifespan.{self._phase}.{end}" for end in ("complete", "failed"))
        if kind not in (complete, failed) or self._answer is None or self._answer.done():
            raise ASGIError(f"{kind!r} was sent out of turn")
        message = event.get("message") or "no message given"
        self._answer.set_result(None if kind == complete else message)
