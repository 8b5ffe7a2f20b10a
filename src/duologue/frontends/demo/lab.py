"""The lab's other end: closes as it is told to, and remembers how connections ended.

On ``/lab`` the first message is ``{"visit": "…"}``, the connection's own name, which nobody else
can guess. Then the page sends commands:

``{"do":"close","code":N,"reason":T}``
    The closing handshake with this code and reason; refused if they may not be sent. Without
    ``code``: a Close frame with an empty body.
``{"do":"forge","code":N}``
    A Close frame with this code, whatever the rules say.
``{"do":"cut"}``
    The TCP connection is cut without a Close frame.
``{"do":"ending","visit":V}``
    How the connection of this name ended, seen from here.

Answers are objects with the key ``refused``, ``error`` or ``ending``. It must never remember
messages: what is kept of a connection is its ending, by every worker, since the page that asks may
be connected to another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from duologue.app.application import App
from duologue.asyncio.server import ServerConnection
from duologue.exceptions import ConnectionClosed, ProtocolError
from duologue.frames import Close
from duologue.frontends.demo.bounds import ENDING_PATIENCE, MAX_COMMAND, MAX_ENDINGS
from duologue.frontends.demo.commands import BadCommand, encode, integer, parse, text
from duologue.frontends.demo.connection import DemoConnection

__all__ = ["Lab"]

Ending = dict[str, Any]

ENDED = "lab/ended"
"""The topic of how connections have ended, for all workers."""


class Lab:
    """The service behind the lab's pages.

    Args:
        app: Whose topics it uses; it has to enter :meth:`running`.
        patience: Seconds to wait for an ending that hasn't happened yet.
    """

    def __init__(self, app: App, patience: float = ENDING_PATIENCE) -> None:
        self._app = app
        self._patience = patience
        self._endings: OrderedDict[str, Ending] = OrderedDict()
        self._news = asyncio.Event()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Hears how connections to any worker end, while this lasts."""
        subscription = self._app.subscribe(ENDED, lambda _, told: self._remember(json.loads(told)))
        try:
            yield
        finally:
            subscription.close()

    async def handler(self, websocket: DemoConnection) -> None:
        """Serves one connection until it ends.

        Args:
            websocket: The connection.
        """
        websocket.max_message_size = MAX_COMMAND
        visit = secrets.token_urlsafe(12)
        try:
            await websocket.send(encode({"visit": visit}))
            async for message in websocket:
                try:
                    await self._obey(websocket, parse(message))
                except BadCommand as error:
                    await websocket.send(encode({"error": str(error)}))
        except ConnectionClosed:
            pass
        finally:
            await websocket.wait_closed()
            self._app.publish(ENDED, encode({"visit": visit, "ending": _describe(websocket)}))

    def _remember(self, told: dict[str, Any]) -> None:
        self._endings[told["visit"]] = told["ending"]
        if len(self._endings) > MAX_ENDINGS:
            self._endings.popitem(last=False)
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _obey(self, websocket: DemoConnection, command: dict[str, Any]) -> None:
        match command.get("do"):
            case "close":
                await self._close(websocket, command)
            case "forge":
                code = integer(command, "code", 0, 65535)
                websocket.write_raw(b"\x88\x02" + code.to_bytes(2, "big"))
                # As after a Close frame of the usual kind; the peer's is still read.
                assert websocket.transport is not None  # it is open
                websocket.transport.write_eof()
            case "cut":
                assert websocket.transport is not None  # it is open
                websocket.transport.abort()
            case "ending":
                ending = await self._ending(text(command, "visit"))
                await websocket.send(encode({"ending": ending}))
            case _:
                raise BadCommand("do must be close, forge, cut or ending")

    async def _close(self, websocket: ServerConnection, command: dict[str, Any]) -> None:
        code = integer(command, "code", 0, 65535) if "code" in command else None
        try:
            await websocket.close(code, text(command, "reason", ""))
        except ProtocolError as error:
            # The code may not be sent, or the reason is too long: nothing has been.
            await websocket.send(encode({"refused": str(error)}))

    async def _ending(self, visit: str) -> Ending | None:
        # The visitor's page may be ahead of us, and of the worker that it was connected to.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                while visit not in self._endings:
                    await self._news.wait()
        return self._endings.get(visit)


def _describe(websocket: ServerConnection) -> Ending:
    return {
        "received": _frame(websocket.close_rcvd),
        "sent": _frame(websocket.close_sent),
        "code": websocket.close_code,
        "why": "" if websocket.why is None else str(websocket.why),
    }


def _frame(close: Close | None) -> dict[str, Any] | None:
    return None if close is None else {"code": int(close.code), "reason": close.reason}
