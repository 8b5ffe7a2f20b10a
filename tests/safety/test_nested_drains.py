"""The poller drained inside what it called: by a nested loop, a debugger, a curious application.

Others are served. The connection whose callback is running is not: its messages keep their order.
"""

from __future__ import annotations

import asyncio
from typing import Any

import duologue
from duologue.base.vocabulary import Side
from duologue.connection.connection import Callbacks, Connection
from duologue.net.poller import poller_of
from duologue.protocol.machine import EventMachine

from .rig import Line, line, turns


class Nesting(duologue.Endpoint):
    """Drains the poller inside each of its callbacks, and notes what it is told, in order."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.depth = 0
        self.deepest = 0
        self.poller = poller_of(asyncio.get_running_loop())

    def nest(self) -> None:
        self.depth += 1
        self.deepest = max(self.deepest, self.depth)
        try:
            if self.depth < 10:
                self.poller.drain()
        finally:
            self.depth -= 1

    def on_open(self, ws: Any) -> None:
        self.nest()

    def on_message(self, ws: Any, message: Any) -> None:
        self.heard.append((ws, message))
        self.nest()

    def on_ping(self, ws: Any, payload: bytes) -> None:
        self.nest()

    def on_close(self, ws: Any, code: int, reason: str) -> None:
        self.nest()


def write_messages(made: Line, count: int, size: int) -> None:
    """Let the peer write numbered messages, with a ping now and then."""
    for number in range(count):
        made.peer.send_text(f"{number} ".encode() + b"x" * size)
        if number % 5 == 0:
            made.peer.send_ping(b"?")


async def test_messages_keep_their_order(loop_factory: Any) -> None:
    endpoint = Nesting()
    async with line(endpoint) as first, line(endpoint) as second:
        lines = [first, second]
        for each in lines:
            write_messages(each, 200, 100)
        drain = endpoint.nest

        def nest() -> None:
            # More octets are there whenever a nested drain looks; they end inside of frames.
            for each in lines:
                each.push(5000)
            drain()

        endpoint.nest = nest  # type: ignore[method-assign]
        async with asyncio.timeout(10):
            while len(endpoint.heard) < 400:
                nest()
                for each in lines:
                    each.hear()
                await asyncio.sleep(0)
        for each in lines:
            mine = [text for ws, text in endpoint.heard if ws is each.ws]
            assert mine == [f"{number} " + "x" * 100 for number in range(200)]
        assert endpoint.deepest > 1


async def test_large_messages_received_into_place(loop_factory: Any) -> None:
    endpoint = Nesting()
    async with line(endpoint, max_size=None) as first, line(endpoint, max_size=None) as second:
        lines = [first, second]
        for each in lines:
            write_messages(each, 4, 300_000)
        async with asyncio.timeout(10):
            while len(endpoint.heard) < 8:
                for each in lines:
                    each.push()
                    each.hear()
                await asyncio.sleep(0)
        for each in lines:
            mine = [text for ws, text in endpoint.heard if ws is each.ws]
            assert mine == [f"{number} " + "x" * 300_000 for number in range(4)]


async def test_what_came_with_the_handshake_comes_first(loop_factory: Any) -> None:
    """``on_open`` drains, and newer octets are there: those of the handshake are older."""
    endpoint = Nesting()
    peer = EventMachine(Side.CLIENT)
    peer.send_text(b"first")
    (first,) = peer.data_to_send()

    async with line() as made:
        # The same link, with an owner that opens late.
        late: Any = Connection(made.ws.settings)
        late.serve_endpoint(Callbacks(endpoint, duologue.Endpoint), made._note_gone)
        made.say("second")
        late.open(made.link, first)
        await turns()
        assert [text for _, text in endpoint.heard] == ["first", "second"]
        made.ws.abandon()
        made.link.abort_link()
        await late.wait_closed()


async def test_the_end_of_the_stream_waits_for_what_came_before(loop_factory: Any) -> None:
    endpoint = Nesting()
    async with line(endpoint) as made:
        made.say(*(str(number) for number in range(50)))
        made.sock.close()
        await made.ws.wait_closed()
        assert [text for _, text in endpoint.heard] == [str(number) for number in range(50)]
        assert made.gone == 1


async def test_a_task_that_was_woken_drains(loop_factory: Any) -> None:
    """Nested in a wake-up: the others' tasks are woken by the loop, nobody enters another task."""
    poller = poller_of(asyncio.get_running_loop())
    running: list[Any] = []
    heard: dict[int, list[str]] = {0: [], 1: []}

    async def receive(name: int, ws: Any) -> None:
        for _ in range(100):
            text = await ws.recv()
            task = asyncio.current_task()
            assert task is not None and task.get_name() == str(name)
            assert not running, "a task was entered inside another"
            running.append(name)
            poller.drain()
            running.remove(name)
            heard[name].append(text)

    async with line() as first, line() as second:
        tasks = [
            asyncio.create_task(receive(number, each.ws), name=str(number))
            for number, each in enumerate((first, second))
        ]
        for number in range(100):
            first.say(str(number))
            second.say(str(number))
            if number % 3 == 0:
                await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await asyncio.gather(*tasks)
    assert heard[0] == heard[1] == [str(number) for number in range(100)]
