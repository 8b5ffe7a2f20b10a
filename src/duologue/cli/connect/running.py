"""From a connector to the exit code: connecting, talking, and perhaps connecting again."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

from duologue.asyncio.client import ClientConnection
from duologue.cli import explain
from duologue.cli.connect.opening import Connector
from duologue.cli.connect.screen import Screen
from duologue.cli.connect.talk import Conversation
from duologue.cli.failure import Failure
from duologue.exceptions import InvalidURI
from duologue.net.signals import stop_requested

__all__ = ["run_conversation"]

_HINT = "each line is sent, /help lists commands, Ctrl-D closes"
_PASSWORD = re.compile(r"(?<=://)([^/?#@:]*):[^/?#]*(?=@)")


async def run_conversation(
    connector: Connector, conversation: Conversation, screen: Screen, *, again: bool, news: bool
) -> int:
    """Talks over one connection, or over one after the other, until it is enough.

    Args:
        connector: Makes the connections.
        conversation: What is held over them.
        screen: Where it is shown.
        again: Whether a lost connection is made again.
        news: Whether it is told that a connection is open.

    Returns:
        The exit code.

    Raises:
        Failure: If a connection can't be opened.
    """
    url = _PASSWORD.sub(r"\1:***", connector.uri)
    connections = aiter(connector) if again else _only(connector)
    begun = False
    with stop_requested() as stop:
        stopped = asyncio.create_task(stop.wait())
        try:
            while not conversation.over:
                ends = [stopped, conversation.speaking] if begun else [stopped]
                websocket = await _next(connections, url, connector, ends)
                if websocket is None:
                    if begun:
                        break
                    raise Failure(f"cannot connect to {url}: interrupted")
                if news:
                    hint = "" if begun else f"; {_HINT}"
                    screen.notice(f"connected to {url}{_agreed(websocket)}{hint}")
                begun = True
                await conversation.hold(websocket, stopped)
        finally:
            stopped.cancel()
            await conversation.end()
    return conversation.exit_code


async def _only(connector: Connector) -> AsyncIterator[ClientConnection]:
    yield await connector


async def _next(
    connections: AsyncIterator[ClientConnection],
    url: str,
    connector: Connector,
    ends: Sequence[asyncio.Task[Any]],
) -> ClientConnection | None:
    """Returns the next connection; ``None`` if one of the tasks is done before."""

    async def following() -> ClientConnection:
        return await anext(connections)

    opening = asyncio.create_task(following())
    await asyncio.wait([opening, *ends], return_when=asyncio.FIRST_COMPLETED)
    if not opening.done():
        opening.cancel()
        await asyncio.wait([opening])
        return None
    try:
        return opening.result()
    except InvalidURI:
        raise
    except Exception as error:
        way = "" if connector.uri == connector.given_uri else f", redirected to {connector.uri}"
        raise Failure(f"cannot connect to {url}{way}: {explain.reason(error)}") from error


def _agreed(websocket: ClientConnection) -> str:
    agreed = [str(extension.name) for extension in websocket.extensions]
    if websocket.subprotocol is not None:
        agreed.insert(0, f"subprotocol {websocket.subprotocol}")
    elif "Sec-WebSocket-Protocol" in websocket.request.headers:
        agreed.insert(0, "no subprotocol")
    return f" ({', '.join(agreed)})" if agreed else ""
