"""Topics against a model: random operations of several connections, on one hub and on three."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.base.vocabulary import Opcode
from duologue.hub.backplanes.memory import Exchange, MemoryBackplane
from duologue.hub.hub import Hub
from duologue.testing import virtual_loop_factory

from ..unit.connection.rig import Rig, rig

HUBS, CONNECTIONS = 3, 6
NAMES = ["a", "b", "a/b", "a/b/c", "a//c", "b/", "$a/b", "c++"]
FILTERS = ["#", "+", "a/#", "a/+", "+/b", "+/+", "a/+/c", "a/b/#", "$a/+"]

connections = st.integers(0, CONNECTIONS - 1)
operations = st.one_of(
    st.tuples(st.just("subscribe"), connections, st.sampled_from(NAMES + FILTERS)),
    st.tuples(st.just("unsubscribe"), connections, st.sampled_from(NAMES + FILTERS)),
    st.tuples(st.just("publish"), connections, st.sampled_from(NAMES), st.booleans()),
    st.tuples(st.just("publish"), connections, st.sampled_from(NAMES), st.booleans()),
    st.tuples(st.just("send"), connections),
    st.tuples(st.just("close"), connections),
    st.tuples(st.just("settle")),
)


def matches(topic: str, name: str) -> bool:
    """MQTT's rules, by a regular expression."""
    if topic[0] in "+#" and name.startswith("$"):
        return False
    pattern = "" if topic == "#" else re.escape(topic)
    pattern = re.sub(r"(^|/)\\\+(?=/|$)", r"\1[^/]*", pattern)
    pattern = ".*" if topic == "#" else re.sub(r"/\\\#$", "(/.*)?", pattern)
    return re.fullmatch(pattern, name, re.DOTALL) is not None


@dataclass
class Member:
    """What a connection should be."""

    hub: int
    open: bool = True
    topics: set[str] = field(default_factory=set)
    got: list[bytes] = field(default_factory=list)


class Model:
    """What the hubs should do: the same with sets and loops, and nothing else."""

    def __init__(self, hubs: int) -> None:
        self.alone = hubs == 1
        self.members = [Member(number % hubs) for number in range(CONNECTIONS)]
        self.positions: dict[str, int] = {}
        self.waiting: list[tuple[str, bytes, Member | None]] = []

    def publish(self, name: str, payload: bytes, exclude: Member | None) -> None:
        self.waiting.append((name, payload, exclude))
        if self.alone:
            self.settle()

    def settle(self) -> None:
        """Deliver what waits, to those who are subscribed now."""
        for name, payload, exclude in self.waiting:
            for member in self.members:
                wanted = any(matches(topic, name) for topic in member.topics)
                if member.open and wanted and member is not exclude:
                    member.got.append(payload)
        self.waiting.clear()

    def position(self, name: str) -> int:
        self.positions[name] = self.positions.get(name, 0) + 1
        return self.positions[name]

    def count(self, topic: str) -> int:
        wildcards = any(level in ("+", "#") for level in topic.split("/"))
        return sum(
            topic in member.topics
            or (not wildcards and any(matches(each, topic) for each in member.topics))
            for member in self.members
            if member.open
        )


async def heard(each: Rig) -> list[bytes]:
    frames = await each.heard()
    return [bytes(frame.data) for frame in frames if frame.opcode is Opcode.TEXT]


async def play(hubs: list[Hub], rigs: list[Rig], steps: list[tuple[Any, ...]]) -> None:
    """Do the same to the hubs and to the model, and compare."""
    model = Model(len(hubs))
    published: list[tuple[Any, int]] = []
    got: list[list[bytes]] = [[] for _ in rigs]
    for number, (kind, *arguments) in enumerate(steps):
        payload = b"%d" % number
        if kind == "settle":
            await hubs[0].subscribers("a")
            model.settle()
            continue
        who = arguments[0]
        ws, member = rigs[who].ws, model.members[who]
        if kind == "subscribe" and member.open:
            assert ws.subscribe(arguments[1]) == (arguments[1] not in member.topics)
            member.topics.add(arguments[1])
        elif kind == "unsubscribe":
            assert ws.unsubscribe(arguments[1]) == (arguments[1] in member.topics)
            member.topics.discard(arguments[1])
        elif kind == "publish":
            _, name, excluded = arguments
            hub = hubs[member.hub]
            message = hub.publish(name, payload.decode(), exclude=ws if excluded else None)
            published.append((message, model.position(name)))
            model.publish(name, payload, member if excluded else None)
        elif kind == "send" and member.open:
            ws.send(payload.decode())
            member.got.append(payload)
        elif kind == "close" and member.open:
            ws.start_close()
            member.open = False
            member.topics.clear()
        assert ws.topics == member.topics
    for topic in NAMES + FILTERS:
        for hub in hubs:
            assert await hub.subscribers(topic) == model.count(topic)
    model.settle()
    for message, position in published:
        assert await message == position
    for each, messages in zip(rigs, got, strict=True):
        messages += await heard(each)
    assert got == [member.got for member in model.members]


def run(count: int, steps: list[tuple[Any, ...]]) -> None:
    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            exchange = Exchange()
            create: Callable[[], Hub] = (
                Hub if count == 1 else lambda: Hub(backplane=MemoryBackplane(exchange))
            )
            hubs = [await stack.enter_async_context(create()) for _ in range(count)]
            rigs = [stack.enter_context(rig()) for _ in range(CONNECTIONS)]
            for number, each in enumerate(rigs):
                hubs[number % count].admit(each.ws)
            await play(hubs, rigs, steps)
            for each in rigs:
                each.wire.lose()
            for hub in hubs:
                assert len(hub._topics) == 0
            assert len(exchange.interests) == 0

    with asyncio.Runner(loop_factory=virtual_loop_factory()) as runner:
        runner.run(main())


@pytest.mark.parametrize("count", [1, HUBS])
@settings(max_examples=60, deadline=None)
@given(steps=st.lists(operations, max_size=40))
def test_hubs_do_what_the_model_does(count: int, steps: list[tuple[Any, ...]]) -> None:
    run(count, steps)


def test_the_model_notices() -> None:
    """A lost message is found."""
    steps = [("subscribe", 0, "a/#"), ("publish", 1, "a", False), ("publish", 1, "a/b", False)]
    run(1, steps)
    original = Hub.deliver

    def lose(self: Hub, message: Any) -> None:
        if message.topic != "a/b":
            original(self, message)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Hub, "deliver", lose)
        with pytest.raises(AssertionError):
            run(1, steps)
