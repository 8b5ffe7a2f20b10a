from __future__ import annotations

import asyncio
import contextlib
import json
import os
from urllib.parse import urlencode

import pytest

from duologue.base.rates import Rate
from duologue.exceptions import ConnectionClosed
from duologue.frontends import demo
from duologue.frontends.demo import bounds

PATIENCE = 20


class Page:
    """What a page knows, as chat.js does."""

    def __init__(self, websocket):
        self.websocket = websocket
        self.members = {}
        self.rooms = {}
        self.news = []  # everything that isn't a list of rooms

    async def next(self):
        async with asyncio.timeout(PATIENCE):
            news = json.loads(await self.websocket.recv())
        match news["kind"]:
            case "welcome":
                self.me = news
                self.members = {each["id"]: each["name"] for each in news["members"]}
                self.rooms = news["rooms"]
            case "join":
                self.members[news["id"]] = news["name"]
            case "leave":
                del self.members[news["id"]]
            case "rooms":
                self.rooms = news["rooms"]
        if news["kind"] != "rooms":
            self.news.append(news)
        return news

    async def until(self, condition):
        while not condition():
            await self.next()

    async def heard(self, kind):
        """The next news of this kind."""
        while (news := await self.next())["kind"] != kind:
            pass
        return news

    @property
    def names(self):
        return sorted(self.members.values())


@contextlib.asynccontextmanager
async def page(worker, room="", name="", **wishes):
    query = urlencode({"room": room, "name": name, **wishes})
    async with worker.connect(f"/rooms?{query}") as websocket:
        opened = Page(websocket)
        await opened.heard("welcome")
        await opened.heard("join")  # its own
        yield opened


async def test_what_a_page_is_told(two_workers):
    async with two_workers() as (one, _), page(one, "Tea", "Ann") as ann:
        me = {key: ann.me[key] for key in ("id", "name", "worker")}
        assert ann.news == [
            {
                "kind": "welcome",
                **me,
                "room": "tea",
                "workers": 2,
                "process": os.getpid(),
                "members": [],
                "rooms": {"lobby": 0},
                "most": bounds.MAX_SAID,
            },
            {"kind": "join", **me},
        ]
        assert (me["name"], me["worker"]) == ("Ann", 1)
        await ann.websocket.send("hello")
        assert await ann.heard("said") == {"kind": "said", **me, "text": "hello"}
        await ann.until(lambda: ann.rooms == {"lobby": 0, "tea": 1})
    assert one.log == ["New connection", "Received hello", "Connection closed"]


async def test_a_room_spans_workers_and_ends_at_its_walls(two_workers):
    async with two_workers() as (one, two):
        async with page(one, "tea", "Ann") as ann, page(two, "tea", "Bob") as bob:
            async with page(two, "coffee", "Cid") as cid:
                assert (ann.me["worker"], bob.me["worker"]) == (1, 2)
                assert bob.me["members"] == [{"id": ann.me["id"], "name": "Ann", "worker": 1}]
                await ann.until(lambda: ann.names == ["Ann", "Bob"])
                for number in range(10):
                    await ann.websocket.send(f"a{number}")
                    await bob.websocket.send(f"b{number}")
                heard = [
                    [(await each.heard("said"))["text"] for _ in range(20)] for each in (ann, bob)
                ]
                assert heard[0] == heard[1]  # one order for everybody
                assert sorted(heard[0]) == sorted(f"{who}{n}" for who in "ab" for n in range(10))
                await cid.websocket.send("alone")
                assert (await cid.heard("said"))["text"] == "alone"
                assert cid.names == ["Cid"]
                for each in (ann, bob, cid):
                    await each.until(lambda each=each: len(each.rooms) == 3)
                    assert each.rooms == {"lobby": 0, "coffee": 1, "tea": 2}
            await ann.until(lambda: "coffee" not in ann.rooms)
            assert ann.names == ["Ann", "Bob"]
        async with page(one, "tea") as late:
            assert late.names == [late.me["name"]]  # and nothing of what was said
            assert {news["kind"] for news in late.news} == {"welcome", "join"}


async def test_presence_converges_when_a_worker_is_gone_without_a_word(two_workers):
    async with two_workers() as (one, two):
        async with page(one, "tea", "Ann") as ann, page(two, "tea", "Bob"):
            await ann.until(lambda: ann.names == ["Ann", "Bob"])
            two.backplane.abort()
            left = await ann.heard("leave")
            assert (left["name"], left["worker"]) == ("Bob", 2)
            assert ann.names == ["Ann"]
            await ann.until(lambda: ann.rooms == {"lobby": 0, "tea": 1})


async def test_nobody_is_announced_twice_or_missed(two_workers):
    """Joins and leaves during a visit and its welcome add up to who is there."""
    async with two_workers() as (one, two), page(one, "tea", "Ann") as ann:
        async with asyncio.TaskGroup() as visits:
            for number in range(40):

                async def visit(number=number):
                    async with page((one, two)[number % 2], "tea", f"v{number}") as visitor:
                        assert visitor.me["id"] in visitor.members

                visits.create_task(visit())
        await ann.until(lambda: sum(news["kind"] == "leave" for news in ann.news) == 40)
        joined = [news["name"] for news in ann.news if news["kind"] == "join"]
        assert sorted(joined) == sorted(["Ann", *(f"v{number}" for number in range(40))])
        assert ann.names == ["Ann"]


async def test_names_that_nobody_chose_are_different_at_all_workers(two_workers):
    async with two_workers() as (one, two), contextlib.AsyncExitStack() as pages:
        opened = [
            await pages.enter_async_context(page((one, two)[n % 2], "ab"[n % 2])) for n in range(4)
        ]
        assert [each.me["name"] for each in opened] == ["user1", "user2", "user3", "user4"]


async def test_the_lobby_is_where_programs_of_the_tutorials_are(two_workers):
    async with two_workers() as (one, two):
        async with one.connect("/") as plain, two.connect("/") as other, page(two) as ours:
            assert await plain.recv() == "user1 come in!"
            assert [await each.recv() for each in (plain, other)] == ["user2 come in!"] * 2
            assert [await each.recv() for each in (plain, other)] == ["user3 come in!"] * 2
            assert ours.names == ["user1", "user2", "user3"]
            await ours.websocket.send("from the page")
            await ours.heard("said")
            await plain.send("from a program")
            said = await ours.heard("said")
            assert (said["name"], said["worker"], said["text"]) == ("user1", 1, "from a program")
            for each in (plain, other):
                assert [await each.recv() for _ in range(2)] == ["from the page", "from a program"]
            async with page(one, "tea"):
                pass
            await plain.send(b"ignored")
            await plain.close()
            assert (await ours.heard("leave"))["name"] == "user1"
            await ours.websocket.send("last")
            assert await other.recv() == "last"  # nobody is announced who leaves, or is elsewhere


async def test_long_texts_of_programs_are_cut_for_pages_only(two_workers):
    text = "é" * (bounds.MAX_SAID + 1)
    async with two_workers() as (one, two), page(one) as ours, two.connect("/") as plain:
        await plain.recv()
        await plain.send(text)
        assert await plain.recv() == text
        said = await ours.heard("said")
        assert said["text"] == text[:-1]
        assert said["cut"] == len(text)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"room": "a/b"}, "a room's name has 1 to 32 letters, digits, - and _"),
        ({"room": "+"}, "a room's name has 1 to 32 letters, digits, - and _"),
        ({"name": "\u202e"}, "your name has up to 24 letters, digits, spaces and - _ . '"),
    ],
)
async def test_names_that_cannot_be_are_refused_with_a_reason(two_workers, query, reason):
    async with two_workers() as (one, _), one.connect(f"/rooms?{urlencode(query)}") as refused:
        with pytest.raises(ConnectionClosed):
            await refused.recv()
        assert (refused.close_code, refused.close_reason) == (4400, reason)
    assert one.log == []


async def test_a_worker_can_be_avoided(two_workers):
    async with two_workers() as (one, two), one.connect("/rooms?avoid=1") as refused:
        with pytest.raises(ConnectionClosed):
            await refused.recv()
        assert refused.close_code == 4409
        async with page(two, avoid="1") as there:
            assert there.me["worker"] == 2


async def test_what_a_page_may_say_is_bounded(two_workers):
    async with two_workers() as (one, _), page(one) as ours:
        await ours.websocket.send("x" * bounds.MAX_SAID)
        assert len((await ours.heard("said"))["text"]) == bounds.MAX_SAID
        await ours.websocket.send("x" * (bounds.MAX_SAID + 1))
        refused = await ours.heard("error")
        assert refused["text"] == f"at most {bounds.MAX_SAID} characters, please"
        await ours.websocket.send(b"no text")
        await ours.websocket.send("and on")
        assert (await ours.heard("said"))["text"] == "and on"
        await ours.websocket.send("x" * (bounds.MAX_OCTETS_SAID + 1))
        await ours.websocket.wait_closed()
        assert ours.websocket.close_code == 1009


async def test_how_fast_it_may_be_said_is_bounded(two_workers, monkeypatch):
    for path in ("/", "/rooms"):
        monkeypatch.setitem(demo._LIMITS, path, {"message_rate": Rate(1, 3600, burst=3)})
    async with two_workers() as (one, _):
        for path in ("/", "/rooms"):
            async with one.connect(path) as websocket:
                with contextlib.suppress(ConnectionClosed):
                    for _ in range(5):
                        await websocket.send("hurry")
                await websocket.wait_closed()
                assert websocket.close_code == 1008
    assert one.log.count("Received hurry") == 6


async def refused(worker, path):
    async with worker.connect(path) as websocket:
        with pytest.raises(ConnectionClosed):
            async with asyncio.timeout(PATIENCE):
                while True:
                    await websocket.recv()
        return websocket.close_code, websocket.close_reason


async def test_rooms_and_who_is_in_one_are_bounded(two_workers, monkeypatch):
    monkeypatch.setattr(bounds, "MAX_ROOMS", 3)
    monkeypatch.setattr(bounds, "MAX_MEMBERS", 2)
    async with two_workers() as (one, two):
        async with page(one, "a") as a, page(two, "b"), page(two, "b"):
            await a.until(lambda: a.rooms == {"lobby": 0, "a": 1, "b": 2})
            assert await refused(one, "/rooms?room=c") == (
                1013,
                "there are 3 rooms, which is the most",
            )
            full = (1013, "2 are in this room, which is the most")
            assert await refused(one, "/rooms?room=b") == full
            async with page(one, "a"), two.connect("/") as plain, page(two):
                await plain.recv()
                assert await refused(two, "/") == full


async def test_when_workers_cannot_reach_each_other_everybody_is_told(two_workers):
    async with two_workers() as (one, _), page(one, "tea") as ours, one.connect("/") as plain:
        one.backplane.abort()
        await ours.websocket.send("anybody?")
        assert (await ours.heard("error"))["text"].startswith("nobody may have heard this: ")
        await plain.send("anybody?")
        await plain.wait_closed()
        assert (plain.close_code, plain.close_reason) == (
            1013,
            "the workers can't reach each other",
        )
        assert (await refused(one, "/rooms"))[0] == 1013


async def test_one_worker_alone(place):
    async with demo.serve(port=0) as server:

        class Alone:
            def connect(self, path):
                from duologue.asyncio.client import connect

                return connect(place(server).url(path))

        async with page(Alone(), "tea", avoid="1") as ours:
            assert (ours.me["worker"], ours.me["workers"]) == (1, 1)
            await ours.websocket.send("hello")
            assert (await ours.heard("said"))["text"] == "hello"
