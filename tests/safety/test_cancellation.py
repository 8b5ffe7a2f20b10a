"""Cancellation at every await, racing with data: nothing is lost, nothing comes twice.

What may happen in one turn of the loop (octets arrive, the poller is drained, the task is
cancelled) is put in every order, with turns between.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from duologue import ConnectionClosed, ConnectionClosedError

from .rig import Line, descriptors, dial, line, served, turns, until

#: A turn; octets arrive; the poller is drained here and now; by the loop; the task is cancelled.
ACTS = "tadlc"


async def perform(acts: str, made: Line, task: asyncio.Task[Any], say: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for act in acts:
        if act == "t":
            await asyncio.sleep(0)
        elif act == "a":
            say()
        elif act == "d":
            made.poller.drain()
        elif act == "l":
            loop.call_soon(made.poller.drain)
        else:
            task.cancel()


async def receive(ws: Any) -> str:
    return str(await ws.recv())


async def iterate(ws: Any) -> str:
    async for message in ws:
        return str(message)
    raise AssertionError("the connection ended")


async def receive_decoded(ws: Any) -> str:
    return bytes(await ws.recv(decode=False)).decode()


@pytest.mark.parametrize("way", [receive, iterate, receive_decoded])
async def test_receiving(loop_factory: Any, way: Callable[[Any], Awaitable[str]]) -> None:
    orders = [
        "".join(acts)
        for length in (3, 4)
        for acts in itertools.product(ACTS, repeat=length)
        if acts.count("c") == 1 and "a" in acts
    ]
    async with line(max_queue=None) as made:
        numbers = itertools.count()
        said: list[str] = []
        got: list[str] = []

        def say() -> None:
            said.append(str(next(numbers)))
            made.say(said[-1])

        for acts in orders:
            task = asyncio.ensure_future(way(made.ws))
            await perform(acts, made, task, say)
            try:
                got.append(await task)
            except asyncio.CancelledError:
                pass
            while len(got) < len(said):
                got.append(await way(made.ws))
            assert got == said, acts


async def test_receiving_while_the_connection_ends(loop_factory: Any) -> None:
    """The last message and the end race with a cancellation: the message is never lost."""
    orders = {
        "".join(acts)
        for acts in itertools.product("tadlec", repeat=5)
        if sorted(act for act in acts if act in "aec") == ["a", "c", "e"]
        and acts.index("a") < acts.index("e")
    }
    for acts in sorted(orders)[::3]:
        async with line() as made:
            task = asyncio.ensure_future(receive(made.ws))
            before, _, after = acts.partition("e")
            await perform(before, made, task, lambda made=made: made.say("last"))  # type: ignore[misc]
            made.peer.send_close(1000)
            made.push()
            await perform(after, made, task, lambda: None)
            try:
                got = await task
            except asyncio.CancelledError:
                got = await made.ws.recv()
            assert got == "last", acts
            with pytest.raises(ConnectionClosed):
                closing = asyncio.ensure_future(receive(made.ws))
                await made.hear_until(closing.done)
                await closing


async def test_receiving_fragments(loop_factory: Any) -> None:
    async with line(max_queue=None) as made:
        chance = random.Random(1)
        got = []
        for number in range(300):
            parts = [f"{number}-", "", "x" * chance.randrange(9), "."]
            pending = [part.encode() for part in parts]

            def say(pending: list[bytes] = pending) -> None:
                if not pending:
                    return
                if made.peer.expect_continuation_frame:
                    made.peer.send_continuation(pending[0], len(pending) == 1)
                else:
                    made.peer.send_text(pending[0], fin=False)
                del pending[0]
                made.push()

            task = asyncio.ensure_future(receive(made.ws))
            acts = "".join(chance.choices("tadl", k=5)) + "c" + "".join(chance.choices("tad", k=2))
            await perform(acts, made, task, say)
            while pending:
                say()
            try:
                got.append(await task)
            except asyncio.CancelledError:
                got.append(await made.ws.recv())
            assert got[-1] == "".join(parts)


async def send_text(ws: Any, text: str) -> None:
    await ws.send(text)


@pytest.mark.parametrize("seed", range(4))
async def test_sending_into_a_full_socket(loop_factory: Any, seed: int) -> None:
    """A cancelled send sent its message whole or not at all; the others arrive, in order."""
    chance = random.Random(seed)
    async with line(write_limit=20_000) as made:
        clogging = await made.clog()
        sent: list[tuple[str, asyncio.Task[None]]] = []
        for number in range(200):
            text = f"{number}:" + "y" * chance.randrange(6000)
            task = asyncio.ensure_future(send_text(made.ws, text))
            sent.append((text, task))
            for _ in range(chance.randrange(3)):
                act = chance.choice("tthhcc")
                if act == "t":
                    await asyncio.sleep(0)
                elif act == "h":
                    made.hear(chance.randrange(1, 30_000))
                else:
                    chance.choice(sent)[1].cancel()
        await made.hear_until(lambda: all(task.done() for _, task in sent))
        await made.ws.send("end")
        messages: list[bytes] = []

        def all_heard() -> bool:
            messages.extend(made.heard())
            return messages[-1:] == [b"end"]

        await made.hear_until(all_heard)
        arrived = [message.decode() for message in messages[clogging:-1]]
        texts = [text for text, _ in sent]
        assert [text for text in texts if text in set(arrived)] == arrived
        for text, task in sent:
            assert task.cancelled() or text in set(arrived)
        assert any(task.cancelled() for _, task in sent)
        assert len(arrived) < len(sent)


@pytest.mark.parametrize("steps", range(6))
async def test_sending_fragments(loop_factory: Any, steps: int) -> None:
    """Taken back before its first frame; after it the connection is of no use and says so."""
    async with line(write_limit=20_000) as made:
        clogging = await made.clog()

        async def parts() -> Any:
            for part in ("a", "b", "c"):
                yield part
                await asyncio.sleep(0)

        task = asyncio.ensure_future(made.ws.send(parts()))
        for step in range(steps):
            if step % 2:
                made.hear(1 << 20)
            await asyncio.sleep(0)
        begun = made.ws.expect_continuation_frame
        task.cancel()
        await made.hear_until(task.done)
        if begun and task.cancelled():
            await made.hear_until(lambda: made.peer.close_rcvd is not None)
            assert made.peer.close_rcvd is not None and made.peer.close_rcvd.code == 1011
            assert len(made.heard()) == clogging
        else:
            await made.ws.send("whole")
            messages: list[bytes] = []

            def whole() -> bool:
                messages.extend(made.heard())
                return b"whole" in messages

            await made.hear_until(whole)
            assert messages[clogging:] in ([b"whole"], [b"abc", b"whole"])


@pytest.mark.parametrize("steps", range(4))
async def test_pinging(loop_factory: Any, steps: int) -> None:
    async with line(write_limit=20_000) as made:
        await made.clog()
        tasks = [asyncio.ensure_future(made.ws.ping(str(number))) for number in range(20)]
        for _ in range(steps):
            await asyncio.sleep(0)
            made.hear(5000)
        for task in tasks[::2]:
            task.cancel()
        await made.hear_until(lambda: all(task.done() for task in tasks))
        for task in tasks:
            if not task.cancelled():
                waiter = task.result()
                await made.hear_until(waiter.done)
                assert waiter.result() >= 0


@pytest.mark.parametrize("steps", range(5))
@pytest.mark.parametrize("how", ["close", "wait_closed"])
async def test_closing(loop_factory: Any, how: str, steps: int) -> None:
    """Who gives up waiting for the end does not keep it from coming, nor others from waiting."""
    async with line() as made:
        other = asyncio.ensure_future(made.ws.wait_closed())
        task = asyncio.ensure_future(getattr(made.ws, how)())
        for step in range(steps):
            await asyncio.sleep(0)
            if step > 1:
                made.hear()
        task.cancel()
        await made.hear_until(task.done)
        if how == "wait_closed" or not steps:  # a coroutine that never began did nothing
            made.ws.start_close()
        await made.hear_until(lambda: made.peer.eof_sent or made.peer.close_rcvd is not None)
        await made.hear_until(lambda: other.done() or made.link.is_closing())
        made.sock.close()
        await other
        assert made.ws.close_code == 1000


async def test_connecting(loop_factory: Any, engine: str) -> None:
    """After any number of turns: no descriptor is left, and the server goes on."""
    async with served(echo, engine=engine) as (server, url):
        async with dial(url, engine=engine) as ws:
            await ws.send("warm")
            await ws.recv()
        await until(lambda: not server.all_connections)
        await turns(20)
        before = descriptors()
        for steps in range(60):
            task = asyncio.ensure_future(_open(url, engine))
            await turns(steps)
            task.cancel()
            try:
                ws = await task
            except asyncio.CancelledError:
                continue
            await ws.close()
        await until(lambda: descriptors() <= before)
        async with dial(url, engine=engine) as ws:
            await ws.send("still there?")
            assert await ws.recv() == "still there?"


async def _open(url: str, engine: str) -> Any:
    return await dial(url, engine=engine)


async def echo(ws: Any) -> None:
    async for message in ws:
        await ws.send(message)


async def test_handlers(loop_factory: Any, engine: str) -> None:
    """A handler that is cancelled at any of its awaits ends its own connection only."""
    tasks: list[asyncio.Task[Any]] = []

    async def handler(ws: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        await echo(ws)

    async with served(handler, engine=engine) as (_, url):
        async with dial(url, engine=engine) as other:
            for steps in range(12):
                async with dial(url, engine=engine) as ws:
                    await ws.send("x")
                    await turns(steps)
                    await until(lambda steps=steps: len(tasks) == steps + 2)  # type: ignore[misc]
                    tasks[-1].cancel()
                    with pytest.raises(ConnectionClosedError):
                        while True:
                            await ws.recv()
                await other.send("and you?")
                assert await other.recv() == "and you?"
