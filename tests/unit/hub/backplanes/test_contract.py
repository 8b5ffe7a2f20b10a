"""What every backplane keeps: one suite for all; a new kind joins ``KINDS`` and ``venue()``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from duologue.base.exceptions import BackplaneError
from duologue.hub.backplanes.interface import Backplane

from .venue import Recorder, Venue, text, venue

KINDS = ["memory", "local", "local over asyncio"]

Open = Callable[..., AbstractAsyncContextManager[Venue]]


@pytest.fixture(name="open_venue", params=KINDS)
def _open_venue(request: pytest.FixtureRequest) -> Open:
    return lambda **limits: venue(request.param, **limits)


async def arrived(*backplanes: Backplane) -> None:
    """Wait until everything before this has reached everybody."""
    for backplane in backplanes:
        await backplane.request(b"there?")


async def test_own_messages_come_back_as_the_same_objects(open_venue: Open) -> None:
    async with open_venue() as place:
        a, heard = await place.join()
        sent = [text("x", "1"), text("y", "2"), text("x", b"3")]
        for message in sent:
            a.publish(message)
            assert not message.settled
            assert heard.messages == []
        assert [await message for message in sent] == [1, 1, 2]
        await heard.until(lambda: len(heard.messages) == 3)
        assert all(got is message for got, message in zip(heard.messages, sent, strict=True))


async def test_interest_decides_who_gets_what(open_venue: Open) -> None:
    async with open_venue() as place:
        (a, _), (b, b_heard), (c, c_heard) = [await place.join() for _ in range(3)]
        b.interest("x")
        c.interest("y")
        await arrived(b, c)
        for topic in ("x", "y", "z", "x"):
            await_last = text(topic, f"to {topic}")
            a.publish(await_last)
        assert await await_last == 2
        await arrived(a)
        assert b_heard.got == [("x", 1, b"to x"), ("x", 2, b"to x")]
        assert c_heard.got == [("y", 1, b"to y")]
        b.no_interest("x")
        await arrived(b)
        last = text("x", "nobody")
        a.publish(last)
        await last
        await arrived(a)
        assert len(b_heard.got) == 2


async def test_filters_and_names_give_each_message_once(open_venue: Open) -> None:
    async with open_venue() as place:
        (a, _), (b, heard) = await place.join(), await place.join()
        for topic in ("a/#", "a/+/c", "a/b/c", "+/b/c"):
            b.interest(topic)
        await arrived(b)
        for topic in ("a/b/c", "a", "b", "z/b/c"):
            a.publish(text(topic, topic))
        await arrived(a)
        await heard.until(lambda: len(heard.got) >= 3)
        assert [topic for topic, _, _ in heard.got] == ["a/b/c", "a", "z/b/c"]
        for topic in ("a/#", "a/+/c", "a/b/c"):
            b.no_interest(topic)
        await arrived(b)
        a.publish(text("a/b/c", "again"))
        a.publish(text("a", "again"))
        await arrived(a)
        assert [topic for topic, _, _ in heard.got[3:]] == ["a/b/c"]


async def test_one_order_for_all(open_venue: Open) -> None:
    """Positions are the same everywhere, and everybody gets messages in their order."""
    async with open_venue() as place:
        members = [await place.join() for _ in range(4)]
        for backplane, _ in members:
            backplane.interest("x")
            backplane.interest("y/+")
        await arrived(*(backplane for backplane, _ in members))

        async def publish(number: int, backplane: Backplane) -> None:
            for count in range(50):
                backplane.publish(text("x", f"{number}.{count}"))
                backplane.publish(text("y/1", f"{number}.{count}"))
                if count % (number + 2) == 0:
                    await asyncio.sleep(0)

        await asyncio.gather(*(publish(n, each) for n, (each, _) in enumerate(members)))
        for _, heard in members:
            await heard.until(lambda heard=heard: len(heard.got) == 400)
        first = members[0][1]
        for topic in ("x", "y/1"):
            seen = [each for each in first.got if each[0] == topic]
            assert [position for _, position, _ in seen] == list(range(1, 201))
            for _, heard in members[1:]:
                assert [each for each in heard.got if each[0] == topic] == seen
            for number in range(4):
                own = [text for _, _, text in seen if text.startswith(f"{number}.".encode())]
                assert own == [f"{number}.{count}".encode() for count in range(50)]


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("x", ""),
        ("x", b""),
        ("x", bytes(range(256))),
        ("x", "é€😀"),
        ("é€😀 /\n\0", "1"),
        ("t" * 100_000, b"x" * 1_500_000),
    ],
)
async def test_any_content(open_venue: Open, topic: str, payload: Any) -> None:
    async with open_venue() as place:
        (a, _), (b, heard) = await place.join(), await place.join()
        b.interest(topic)
        await arrived(b)
        sent = text(topic, payload)
        sent.packed, sent.label = sent.prepared.payload[:10], b"label"
        a.publish(sent)
        assert await sent == 1
        await heard.until(lambda: heard.messages)
        got = heard.messages[0]
        assert (got.topic, got.prepared.opcode) == (topic, sent.prepared.opcode)
        assert got.prepared.payload == sent.prepared.payload
        if got.label:
            assert (got.packed, got.label) == (sent.packed, sent.label)


async def test_questions_are_answered_by_all_others(open_venue: Open) -> None:
    async with open_venue() as place:
        (a, a_heard), (b, b_heard) = await place.join(), await place.join()
        c, _ = await place.join()
        assert await a.request(b"who") == {b.name: b"re: who", c.name: b"re: who"}
        assert (a_heard.questions, b_heard.questions) == ([], [b"who"])
        many = await asyncio.gather(*(a.request(b"%d" % number) for number in range(20)))
        assert [answers[b.name] for answers in many] == [b"re: %d" % n for n in range(20)]
        b.abort()
        await a_heard.until(lambda: ("gone", b.name) in a_heard.peers)
        assert set(await a.request(b"who")) == {c.name}
        c.abort()
        await a_heard.until(lambda: ("gone", c.name) in a_heard.peers)
        assert await a.request(b"who") == {}


async def test_words_reach_one_or_all_in_order(open_venue: Open) -> None:
    async with open_venue() as place:
        (a, a_heard), (b, b_heard), (c, c_heard) = [await place.join() for _ in range(3)]
        for number in range(10):
            a.tell(b"all %d" % number)
            a.tell(b"b %d" % number, b.name)
        a.tell(b"nobody", "0123456789abcdef")
        await arrived(a)
        await c_heard.until(lambda: len(c_heard.words) >= 10)
        await b_heard.until(lambda: len(b_heard.words) >= 20)
        assert c_heard.words == [(a.name, b"all %d" % number) for number in range(10)]
        expected = [(a.name, b"%s %d" % (who, n)) for n in range(10) for who in (b"all", b"b")]
        assert b_heard.words == expected
        assert a_heard.words == []
        assert c.name != b.name


async def test_processes_know_each_other(open_venue: Open) -> None:
    async with open_venue() as place:
        a, a_heard = await place.join()
        assert a.peers == set()
        b, b_heard = await place.join()
        await a_heard.until(lambda: a_heard.peers == [("joined", b.name)])
        await b_heard.until(lambda: b_heard.peers == [("joined", a.name)])
        assert (a.peers, b.peers) == ({b.name}, {a.name})
        await b.close()
        await a_heard.until(lambda: a_heard.peers[-1] == ("gone", b.name))
        assert a.peers == set()


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_interests_end_with_their_process(open_venue: Open, end: str) -> None:
    async with open_venue() as place:
        (a, a_heard), (b, b_heard) = await place.join(), await place.join()
        b.interest("x")
        b.interest("+")
        await arrived(b)
        if end == "close":
            await b.close()
        else:
            b.abort()
        await a_heard.until(lambda: a_heard.peers[-1] == ("gone", b.name))
        message = text("x", "1")
        a.publish(message)
        assert await message == 1
        assert b_heard.messages == []


async def test_closing_publishes_what_was_published(open_venue: Open) -> None:
    async with open_venue() as place:
        (a, _), (b, heard) = await place.join(), await place.join()
        b.interest("x")
        await arrived(b)
        sent = [text("x", f"{number}") for number in range(100)]
        for message in sent:
            a.publish(message)
        await a.close()
        assert [message.position for message in sent] == list(range(1, 101))
        await heard.until(lambda: len(heard.got) == 100)
        assert [position for _, position, _ in heard.got] == list(range(1, 101))


async def test_publishing_outside_of_its_life_fails(open_venue: Open) -> None:
    async with open_venue() as place:
        backplane = place.create()
        early, late = text("x", "1"), text("x", "2")
        backplane.publish(early)
        with pytest.raises(BackplaneError, match="not started"):
            await early
        await backplane.start(Recorder())
        await backplane.close()
        await backplane.close()
        backplane.publish(late)
        with pytest.raises(BackplaneError, match="closed"):
            await late


async def test_the_backlog_is_bounded(open_venue: Open) -> None:
    async with open_venue(max_backlog=10_000) as place:
        a, _ = await place.join()
        sent = [text("x", "y" * 3000) for _ in range(5)]
        for message in sent:
            a.publish(message)
        with pytest.raises(BackplaneError, match="max_backlog=10000"):
            await sent[4]
        assert [await message for message in sent[:3]] == [1, 2, 3]
        # One message is always accepted while nothing waits.
        large = text("x", "y" * 50_000)
        a.publish(large)
        assert await large == 4


async def test_interest_before_the_start(open_venue: Open) -> None:
    async with open_venue() as place:
        a, _ = await place.join()
        b, heard = place.create(), Recorder()
        place.made.append(b)
        b.interest("x")
        await b.start(heard)
        await arrived(b)
        a.publish(text("x", "1"))
        await heard.until(lambda: heard.got == [("x", 1, b"1")])
