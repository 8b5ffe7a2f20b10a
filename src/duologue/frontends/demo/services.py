"""Small services, each of which shows one thing that a WebSocket is good for.

``ticker``       speaks without being asked, as long as the page listens
``stream``       sends and receives at the same time on one connection
``rpc``          answers calls, each when it is ready, matched by their numbers
``digest``       says what has arrived: text or binary, how much, its SHA-256
``subprotocol``  negotiates, and tells what it made of the offer

Each is a coroutine that serves one connection until it ends. How much each may do is in
:mod:`duologue.frontends.demo.bounds`. None of them may keep what a visitor sends.
"""

from __future__ import annotations

import asyncio
import datetime
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from duologue.asyncio.server import ServerConnection
from duologue.exceptions import ConnectionClosed
from duologue.frontends.demo import bounds
from duologue.frontends.demo.commands import BadCommand, encode, parse
from duologue.typing import Subprotocol

__all__ = ["SUBPROTOCOLS", "choose_subprotocol", "digest", "rpc", "stream", "subprotocol", "ticker"]

SUBPROTOCOLS = ("chat.v2", "chat.v1")
"""What ``/subprotocol`` speaks, in the order it prefers."""


async def ticker(websocket: ServerConnection) -> None:
    """Pushes the time, once a second.

    Args:
        websocket: The connection; what it sends is ignored.
    """
    number = 0
    try:
        while True:
            number += 1
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
            await websocket.send(encode({"number": number, "time": now}))
            if await _ends_within(websocket, bounds.TICK):
                return
    except ConnectionClosed:
        pass


async def _ends_within(websocket: ServerConnection, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            async for _ in websocket:
                pass
    except TimeoutError:
        return False
    return True


async def stream(websocket: ServerConnection) -> None:
    """Sends numbered messages while it counts those that come.

    Each says how many have come so far. The message ``done`` is answered with the final count, once
    the server has sent all of its own.

    Args:
        websocket: The connection.
    """
    received = 0

    async def talk() -> None:
        for number in range(1, bounds.STREAM_MESSAGES + 1):
            await websocket.send(encode({"number": number, "received": received}))
            await asyncio.sleep(bounds.STREAM_PAUSE)

    talking = asyncio.create_task(talk())
    try:
        async for message in websocket:
            if message == "done":
                await talking
                await websocket.send(encode({"done": True, "received": received}))
            else:
                received += 1
    except ConnectionClosed:
        pass
    finally:
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)


async def rpc(websocket: ServerConnection) -> None:
    """Answers calls in the form of JSON-RPC 2.0, each as soon as it is ready.

    Methods are ``add`` (two numbers), ``upper`` (a text) and ``nap`` (seconds, of which
    :data:`~.bounds.MAX_CALL_SLEEP` is the most).

    Args:
        websocket: The connection.
    """
    room = asyncio.Semaphore(bounds.MAX_CALLS)

    async def reply(message: str | bytes) -> None:
        try:
            answer = await _call(message)
            await websocket.send(encode({"jsonrpc": "2.0", **answer}))
        except ConnectionClosed:
            pass  # the caller has left
        finally:
            room.release()

    websocket.max_message_size = bounds.MAX_COMMAND
    try:
        async with asyncio.TaskGroup() as calls:
            await room.acquire()
            async for message in websocket:
                calls.create_task(reply(message))
                await room.acquire()
    except* ConnectionClosed:
        pass


async def _call(message: str | bytes) -> dict[str, Any]:
    number: Any = None
    try:
        call = parse(message)
        number = call.get("id")
        if not isinstance(number, int | str | None):
            number = None
            raise BadCommand("id must be a number or a text")
        method = _METHODS.get(str(call.get("method")))
        if method is None:
            return _error(number, -32601, f"there is no such method; there are {_NAMES}")
        return {"id": number, "result": await method(call.get("params"))}
    except BadCommand as error:
        return _error(number, -32600, str(error))


def _error(number: int | str | None, code: int, message: str) -> dict[str, Any]:
    return {"id": number, "error": {"code": code, "message": message}}


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e15  # so that sums stay exact


async def _add(params: Any) -> float:
    match params:
        case [a, b] if _number(a) and _number(b):
            return a + b  # type: ignore[no-any-return]
    raise BadCommand("add takes two numbers, each less than 1e15")


async def _upper(params: Any) -> str:
    match params:
        case [str(text)]:
            return text.upper().encode("utf-8", "replace").decode()
    raise BadCommand("upper takes a text")


async def _nap(params: Any) -> str:
    match params:
        case [seconds] if _number(seconds) and 0 <= seconds <= bounds.MAX_CALL_SLEEP:
            await asyncio.sleep(seconds)
            return f"slept for {seconds} s"
    raise BadCommand(f"nap takes seconds, from 0 to {bounds.MAX_CALL_SLEEP}")


_METHODS: dict[str, Callable[[Any], Any]] = {"add": _add, "upper": _upper, "nap": _nap}
_NAMES = ", ".join(_METHODS)


async def digest(websocket: ServerConnection) -> None:
    """Answers each message with what has arrived: its type, size, SHA-256 and first octets.

    Args:
        websocket: The connection.
    """
    try:
        async for message in websocket:
            octets = message.encode() if isinstance(message, str) else message
            answer = {
                "type": "text" if isinstance(message, str) else "binary",
                "bytes": len(octets),
                "sha256": hashlib.sha256(octets).hexdigest(),
                "begins": octets[:16].hex(" "),
            }
            await websocket.send(encode(answer))
    except ConnectionClosed:
        pass


def choose_subprotocol(offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Chooses the first of :data:`SUBPROTOCOLS` that the client offers.

    Args:
        offered: What the client offers, in its own order, which doesn't count here.
    """
    return next((Subprotocol(name) for name in SUBPROTOCOLS if name in offered), None)


async def subprotocol(websocket: ServerConnection) -> None:
    """Tells what the client has offered and what was chosen, then waits for the end.

    Args:
        websocket: The connection.
    """
    websocket.max_message_size = bounds.MAX_COMMAND
    offered = ", ".join(websocket.request.headers.get_all("Sec-WebSocket-Protocol"))
    try:
        await websocket.send(encode({"offered": offered, "chosen": websocket.subprotocol}))
        async for _ in websocket:
            pass
    except ConnectionClosed:
        pass
