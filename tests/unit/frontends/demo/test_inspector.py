from __future__ import annotations

import contextlib
import json

import pytest

from duologue.app.application import App
from duologue.asyncio.client import connect
from duologue.exceptions import ConnectionClosed, InvalidStatus
from duologue.frontends import demo
from duologue.frontends.demo import bounds


class Watch:
    def __init__(self, websocket, place, server):
        self.websocket = websocket
        self._place = place(server)

    async def next(self):
        return json.loads(await self.websocket.recv())

    async def frame(self):
        report = await self.next()
        return report["frame"]

    async def wish(self, what):
        await self.websocket.send(json.dumps({"do": what}))

    def subject(self, **options):
        url = self._place.url(f"/inspected?token={self.token}")
        return connect(url, **options)


@contextlib.asynccontextmanager
async def watching(place, server):
    async with connect(place(server).url("/inspect")) as websocket:
        watch = Watch(websocket, place, server)
        watch.token = (await watch.next())["token"]
        yield watch


async def test_reports_the_handshake_and_each_frame(place):
    async with demo.serve(port=0) as server, watching(place, server) as watch:
        async with watch.subject(compression=None) as subject:
            heads = await watch.next()
            assert heads["connection"] == 1
            assert heads["tls"] is None
            assert heads["request"].startswith("GET /inspected?token=")
            assert heads["response"].startswith("HTTP/1.1 101 Switching Protocols\r\n")
            assert (
                f"Sec-WebSocket-Accept: {subject.response.headers['Sec-WebSocket-Accept']}"
                in (heads["response"])
            )
            await subject.send("Hello")
            sent = await watch.frame()
            echoed = await watch.frame()
        key = sent["key"]
        assert len(bytes.fromhex(key)) == 4
        assert sent == {
            "way": "received",
            "opcode": 1,
            "name": "text",
            "fin": True,
            "rsv": "000",
            "key": key,
            "header": f"81 85 {key}",
            "length": 5,
            "payload": "48 65 6c 6c 6f",
            "inflated": False,
            "text": "Hello",
        }
        assert (echoed["way"], echoed["key"], echoed["header"]) == ("sent", None, "81 05")
        for way in ("received", "sent"):
            close = await watch.frame()
            assert (close["way"], close["name"], close["code"]) == (way, "close", 1000)
        assert (await watch.next())["ended"] is True


async def test_compressed_messages_are_shown_both_ways(place):
    async with demo.serve(port=0) as server, watching(place, server) as watch:
        async with watch.subject() as subject:
            assert "permessage-deflate" in (await watch.next())["response"]
            text = "so long, and again: " * 200
            for _ in range(2):
                await subject.send(text)
                for way in ("received", "sent"):
                    frame = await watch.frame()
                    assert (frame["way"], frame["rsv"], frame["inflated"]) == (way, "100", True)
                    assert frame["length"] < len(text)
                    assert frame["text"] == text[: bounds.PREVIEW]


async def test_the_server_does_as_it_is_told(place):
    async with demo.serve(port=0) as server, watching(place, server) as watch:
        async with watch.subject(compression=None) as subject:
            await watch.next()
            await watch.wish("push")
            assert await subject.recv() == "Nobody has asked: the server speaks."
            assert (await watch.frame())["name"] == "text"
            await watch.wish("ping")
            assert (await watch.frame())["text"] == "still there?"
            pong = await watch.frame()
            assert (pong["name"], pong["way"]) == ("pong", "received")
            await watch.wish("fragments")
            assert await subject.recv() == "one message in fragments"
            frames = [await watch.frame() for _ in range(5)]
            assert [frame["fin"] for frame in frames] == [False] * 4 + [True]
            assert [frame["name"] for frame in frames] == ["text"] + ["continuation"] * 4
            assert frames[4]["length"] == 0  # what ends a message whose last piece isn't known
            await watch.wish("lengths")
            headers = [(await watch.frame())["header"] for _ in range(4)]
            assert headers == [
                "82 7d",
                "82 7e 00 7e",
                "82 7e ff ff",
                "82 7f 00 00 00 00 00 01 00 00",
            ]
            for size in (125, 126, 65_535, 65_536):
                assert await subject.recv() == bytes(size)
            await watch.wish("binary")
            assert await subject.recv() == bytes(range(16))
            assert "text" not in await watch.frame()
            await watch.wish("close")
            await subject.wait_closed()
            assert (subject.close_code, subject.close_reason) == (1000, "as you wished")


async def test_other_wishes_are_refused(place):
    async with demo.serve(port=0) as server, watching(place, server) as watch:
        for message in ["", '{"do":"dance"}', b"{}", "{}", '{"do":[]}']:
            await watch.websocket.send(message)
            assert "error" in await watch.next()


@pytest.mark.parametrize("query", ["", "?token=", "?token=guessed", "?other=x"])
async def test_without_its_token_nothing_is_inspected(place, query):
    async with demo.serve(port=0) as server, watching(place, server):
        with pytest.raises(InvalidStatus) as caught:
            await connect(place(server).url(f"/inspected{query}"))
        assert caught.value.response.status_code == 403
        assert b"There is no such inspector" in caught.value.response.body


async def test_a_token_ends_with_its_watch(place):
    async with demo.serve(port=0) as server:
        async with watching(place, server) as watch:
            async with watch.subject() as subject:
                pass
        # The server takes notice of the closed watch in its own time.
        async with connect(place(server).url("/inspect")) as other:
            await other.recv()
        with pytest.raises(InvalidStatus):
            await watch.subject()
        assert subject.close_code == 1000


async def test_nobody_sees_anothers_connection(place):
    async with demo.serve(port=0) as server:
        async with watching(place, server) as mine, watching(place, server) as theirs:
            assert mine.token != theirs.token
            async with theirs.subject():
                assert "request" in await theirs.next()
            await mine.wish("dance")
            assert "error" in await mine.next()  # nothing came before


async def test_connections_of_one_watch_are_bounded(place):
    async with demo.serve(port=0) as server, watching(place, server) as watch:
        async with contextlib.AsyncExitStack() as subjects:
            for _ in range(bounds.MAX_SUBJECTS):
                await subjects.enter_async_context(watch.subject())
            with pytest.raises(InvalidStatus) as caught:
                await watch.subject()
            assert caught.value.response.status_code == 403
            assert str(bounds.MAX_SUBJECTS).encode() in caught.value.response.body
        while (report := await watch.next()).get("connection") != bounds.MAX_SUBJECTS or (
            "ended" not in report
        ):
            pass
        async with watch.subject():
            pass


async def test_watches_are_bounded(place, monkeypatch):
    monkeypatch.setattr(bounds, "MAX_WATCHES", 1)
    async with demo.serve(port=0) as server, watching(place, server):
        async with connect(place(server).url("/inspect")) as websocket:
            with pytest.raises(ConnectionClosed):
                await websocket.recv()
            assert websocket.close_code == 1013
            assert websocket.close_reason == "1 inspectors are open, the most"


async def test_frames_reported_are_bounded(place, monkeypatch):
    monkeypatch.setattr(bounds, "MAX_FRAMES", 10)
    async with demo.serve(port=0) as server, watching(place, server) as watch:
        async with watch.subject() as subject:
            await watch.next()
            for number in range(50):
                await subject.send(f"{number}")
                assert await subject.recv() == f"{number}"
            for _ in range(10):
                assert "frame" in await watch.next()
            assert (await watch.next())["limit"] == 10
        assert "ended" in await watch.next()


async def test_a_page_that_takes_no_reports_loses_some_and_is_told(place, monkeypatch):
    monkeypatch.setattr(bounds, "MAX_REPORTS", 3)
    from duologue.frontends.demo.inspector import _Watch

    watch = _Watch()
    for number in range(5):
        watch.report({"number": number})
    taken = [watch.reports.get_nowait() for _ in range(3)]
    assert [report["number"] for report in taken] == [0, 1, 2]
    watch.report({"number": 5})
    watch.report({"number": 6})
    assert watch.reports.get_nowait() == {"number": 5, "lost": 2}
    assert watch.reports.get_nowait() == {"number": 6}


async def test_inspected_messages_are_bounded(place):
    async with demo.serve(port=0) as server, watching(place, server) as watch:
        async with watch.subject(compression=None) as subject:
            await subject.send(bytes(bounds.MAX_INSPECTED))
            assert len(await subject.recv()) == bounds.MAX_INSPECTED
            await subject.send(bytes(bounds.MAX_INSPECTED + 1))
            await subject.wait_closed()
            assert subject.close_code == 1009


async def test_watch_and_subject_may_be_at_different_workers(two_workers):
    async with two_workers() as (one, two):
        async with one.connect("/inspect") as watch:
            token = json.loads(await watch.recv())["token"]
            url = f"/inspected?token={token}"
            async with two.connect(url, compression=None) as there, one.connect(url) as here:
                heads = [json.loads(await watch.recv()) for _ in range(2)]
                assert sorted(each["connection"] for each in heads) == [1, 2]
                await watch.send('{"do":"push"}')
                for subject in (there, here):
                    assert await subject.recv() == "Nobody has asked: the server speaks."
                for _ in range(2):
                    assert json.loads(await watch.recv())["frame"]["way"] == "sent"
                await there.send("Hello")
                assert json.loads(await watch.recv())["frame"]["text"] == "Hello"
                assert await there.recv() == "Hello"


async def test_connections_at_other_workers_are_bounded_too(two_workers):
    async with two_workers() as (one, two):
        async with one.connect("/inspect") as watch, contextlib.AsyncExitStack() as subjects:
            token = json.loads(await watch.recv())["token"]
            url = f"/inspected?token={token}"
            for number in range(bounds.MAX_SUBJECTS):
                await subjects.enter_async_context((one, two)[number % 2].connect(url))
            for worker in (one, two):
                with pytest.raises(InvalidStatus) as caught:
                    await worker.connect(url)
                assert caught.value.response.status_code == 403


async def test_wishes_that_wait_are_bounded(monkeypatch):
    from duologue.frontends.demo.inspector import _Subject

    monkeypatch.setattr(bounds, "MAX_WISHES", 2)
    app = App()
    reports = []
    app.subscribe("watch/token/reports", lambda _, told: reports.append(json.loads(told)))
    subject = _Subject(app, "token", 1)
    for _ in range(3):
        subject.wish("ping")
    assert [report["error"][:9] for report in reports] == ["2 wishes "]
