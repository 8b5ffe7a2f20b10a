"""Whether an endpoint echoes at all, before anything is loaded.

One message. What the server says before the echo is taken for a greeting, which every connection
gets. A second connection must not hear the message: where people listen, a load test would be a
nuisance.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from duologue.base.exceptions import ConnectionClosed, InvalidProxy, InvalidURI
from duologue.cli import explain
from duologue.cli.bench.plan import Plan
from duologue.cli.bench.worker import opener
from duologue.cli.failure import Failure
from duologue.cli.terminal import escape
from duologue.client.connection import ClientConnection
from duologue.net.loops import run

__all__ = ["EARSHOT", "GREETINGS", "PATIENCE", "Probe", "probe"]

PATIENCE = 5.0
"""Seconds to wait for the echo."""

GREETINGS = 8
"""Messages that may come before it."""

EARSHOT = 0.2
"""Seconds after the echo in which it would have arrived on another connection too."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found.

    Attributes:
        greetings: Messages that the server says first.
        server: Its ``Server`` header, empty if there is none.
        extensions: What was agreed on.
    """

    greetings: int
    server: str
    extensions: str


def probe(plan: Plan) -> Probe:
    """Sends one message and waits for its echo.

    Args:
        plan: How to connect; its payload is sent, or a short text.

    Raises:
        InvalidURI: If the URL isn't one.
        InvalidProxy: If the proxy isn't one.
        Failure: If there is no connection, no echo, or if others get the message too.
    """
    return run(_probe(plan))


async def _probe(plan: Plan) -> Probe:
    witness = await _open(plan)
    try:
        websocket = await _open(plan)
        try:
            greetings = await _echo(websocket, plan)
            if await _hears(witness, _message(plan)):
                raise Failure(
                    f"{plan.way.shown} sends messages to other connections too, like a chat: "
                    "a load test would trouble whoever is there"
                )
            headers = websocket.response.headers
            return Probe(
                greetings,
                ", ".join(headers.get_all("Server")),
                ", ".join(headers.get_all("Sec-WebSocket-Extensions")),
            )
        finally:
            await websocket.close()
    finally:
        await witness.close()


async def _open(plan: Plan) -> ClientConnection:
    try:
        return await opener(plan.way)()
    except (InvalidURI, InvalidProxy):
        raise
    except Exception as error:
        url = plan.way.shown
        raise Failure(f"cannot connect to {url}: {explain.reason(error)}") from error


def _message(plan: Plan) -> str | bytes:
    octets = plan.payload if plan.payload is not None else b"duologue bench"
    return octets.decode() if plan.text else octets


async def _echo(websocket: ClientConnection, plan: Plan) -> int:
    """Waits for the echo of a message; returns how many others came before it."""
    message = _message(plan)
    heard: list[str | bytes] = []
    try:
        async with asyncio.timeout(PATIENCE):
            await websocket.send(message)
            for number in range(GREETINGS + 1):
                answer = await websocket.recv()
                if answer == message:
                    return number
                heard.append(answer)
    except TimeoutError:
        pass
    except ConnectionClosed as error:
        raise _no_echo(plan, f"it closed the connection after a message: {error}") from error
    if not heard:
        raise _no_echo(plan, f"no answer within {PATIENCE:g} s")
    shown = escape(repr(heard[-1][:40]))
    raise _no_echo(plan, f"{escape(repr(message[:40]))} was answered with {shown}")


async def _hears(witness: ClientConnection, message: str | bytes) -> bool:
    """Tells whether a connection gets what another one has sent."""
    try:
        async with asyncio.timeout(EARSHOT):
            while await witness.recv() != message:
                pass
    except (TimeoutError, ConnectionClosed):
        return False
    return True


def _no_echo(plan: Plan, why: str) -> Failure:
    return Failure(
        f"{plan.way.shown} does not echo, so there is nothing to measure: {why}. "
        "A load test needs an endpoint that sends each message back unchanged"
    )
