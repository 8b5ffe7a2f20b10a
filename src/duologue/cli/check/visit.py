"""A whole check: which steps are taken, in which order, and what follows from a step that fails.

A step that fails never ends the check if another one can still say something: it gets a connection
of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from duologue.base.exceptions import ProxyError
from duologue.cli import explain
from duologue.cli.check import exchanges
from duologue.cli.check.events import End, Ended, HandshakeFailed
from duologue.cli.check.findings import Report
from duologue.cli.check.meeting import Meeting
from duologue.cli.check.plan import Plan
from duologue.cli.check.reach import Reach, TooManyConnections
from duologue.cli.check.sizes import sizes
from duologue.cli.check.talk import Talk

__all__ = ["check"]

Step = Callable[[Talk, Plan, Report], Awaitable[bool]]


async def check(plan: Plan, report: Report) -> None:
    """Checks an endpoint.

    Args:
        plan: What is checked.
        report: Where findings go.
    """
    await _Visit(plan, report).run()


class _Visit:
    def __init__(self, plan: Plan, report: Report) -> None:
        self._plan = plan
        self._report = report
        self._reach = Reach(plan, report)
        self._meeting = Meeting(plan, report, self._reach)
        self._talk: Talk | None = None
        self._frames = 0
        self._breaches: list[str] = []

    async def run(self) -> None:
        try:
            if not await self._reach.survey():
                return
            self._talk = await self._meeting.handshake()
            if self._talk is None:
                return
            await self._converse()
            await self._meeting.foreign_origin()
            await self._meeting.plain_http()
            if self._plan.idle is not None:
                await self._step("idle", exchanges.idle)
            self._tell_breaches()
        except TooManyConnections as error:
            self._report.problem("check", f"given up: {error}")
        finally:
            await self._put_away()

    async def _converse(self) -> None:
        if await self._step("ping", exchanges.ping):
            await self._step("pong", exchanges.unasked_pong)
        if self._plan.messages and await self._echoes():
            await self._step("compression", exchanges.compression)
            await self._step("fragments", exchanges.fragmentation)
            await self._step("message size", self._sizes)
        await self._step("close", exchanges.close)
        await self._put_away()

    async def _echoes(self) -> bool:
        echoing = False

        async def step(talk: Talk, plan: Plan, report: Report) -> bool:
            nonlocal echoing
            witness = await self._meeting.talk()
            try:
                echoing = await exchanges.echo(talk, witness, plan, report)
            finally:
                await witness.leave()
            return True

        await self._step("echo", step)
        return echoing

    async def _sizes(self, talk: Talk, plan: Plan, report: Report) -> bool:
        return await sizes(self._meeting, plan, report)

    async def _step(self, name: str, step: Step) -> bool:
        """Takes a step on an open connection; tells whether there was no problem."""
        try:
            talk = await self._open_talk()
            if await step(talk, self._plan, self._report):
                return True
        except Ended as error:
            self._tell_end(name, error.end)
        except (HandshakeFailed, OSError, ProxyError) as error:
            why = explain.reason(error.__cause__ or error)
            self._report.problem(name, f"no second connection: {why}")
        await self._put_away()
        return False

    async def _open_talk(self) -> Talk:
        # It may have been cut while another connection was looked at.
        if self._talk is None or not await self._talk.alive():
            await self._put_away()
            self._talk = await self._meeting.talk()
        return self._talk

    async def _put_away(self) -> None:
        talk, self._talk = self._talk, None
        if talk is not None:
            self._frames += talk.frames
            await talk.leave()

    def _tell_end(self, name: str, end: End) -> None:
        if end.how == "violation":
            if end.text not in self._breaches:
                self._breaches.append(end.text)
                text = f"a frame breaks the protocol (looking at {name}): {end.text}"
                self._report.problem("frames", text)
        elif end.how == "limit":
            text = f"the server sends messages that are too long for a check: {end.text}"
            self._report.note(name, text)
        else:
            self._report.problem(name, f"the connection ended: {end.text}")

    def _tell_breaches(self) -> None:
        if not self._breaches:
            text = f"{self._frames} frames received, each well-formed and unmasked"
            self._report.ok("frames", text)


def run(plan: Plan, report: Report) -> None:
    """Checks an endpoint, for callers without an event loop.

    asyncio's own event loop: the check uses asyncio's streams, TLS and its time-outs.

    Args:
        plan: What is checked.
        report: Where findings go.
    """
    asyncio.run(check(plan, report))
