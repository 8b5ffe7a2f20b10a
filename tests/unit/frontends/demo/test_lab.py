from __future__ import annotations

import asyncio
import contextlib
import json

import pytest

from duologue.app.application import App
from duologue.asyncio.client import connect
from duologue.frontends import demo
from duologue.frontends.demo.bounds import MAX_COMMAND, MAX_ENDINGS
from duologue.frontends.demo.commands import encode
from duologue.frontends.demo.lab import ENDED, Lab

SENDABLE = [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 4000]
UNSENDABLE = [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535]


@contextlib.asynccontextmanager
async def visiting(place, server):
    async with connect(place(server).url("/lab")) as websocket:
        visit = json.loads(await websocket.recv())["visit"]

        async def tell(**command):
            await websocket.send(json.dumps(command))

        yield websocket, visit, tell


async def ending(place, server, visit):
    async with visiting(place, server) as (websocket, _, tell):
        await tell(do="ending", visit=visit)
        return json.loads(await websocket.recv())["ending"]


async def test_closes_with_each_code_that_may_be_sent(place):
    async with demo.serve(port=0) as server:
        for code in SENDABLE:
            async with visiting(place, server) as (websocket, visit, tell):
                await tell(do="close", code=code, reason="bécause")
                await websocket.wait_closed()
                assert (websocket.close_code, websocket.close_reason) == (code, "bécause")
            seen = await ending(place, server, visit)
            assert seen["sent"] == {"code": code, "reason": "bécause"}
            assert seen["received"]["code"] == code


async def test_refuses_the_codes_that_may_not_and_says_so(place):
    async with demo.serve(port=0) as server:
        async with visiting(place, server) as (websocket, _, tell):
            for code in UNSENDABLE:
                await tell(do="close", code=code)
                refusal = json.loads(await websocket.recv())["refused"]
                assert str(code) in refusal
            await tell(do="close", code=1000, reason="x" * 124)
            assert "123" in json.loads(await websocket.recv())["refused"]


async def test_closes_without_status(place):
    async with demo.serve(port=0) as server:
        async with visiting(place, server) as (websocket, _, tell):
            await tell(do="close")
            await websocket.wait_closed()
            assert websocket.close_code == 1005
            assert websocket.close_rcvd.reason == ""


async def test_cuts_tcp(place):
    async with demo.serve(port=0) as server:
        async with visiting(place, server) as (websocket, visit, tell):
            await tell(do="cut")
            await websocket.wait_closed()
            assert websocket.close_code == 1006
            assert websocket.close_rcvd is None
        seen = await ending(place, server, visit)
        assert (seen["sent"], seen["received"], seen["code"]) == (None, None, 1006)


@pytest.mark.parametrize("code", [1004, 1005, 1006, 1015])
async def test_writes_a_forbidden_frame_and_ends_its_stream(place, code):
    async with demo.serve(port=0) as server, place(server).raw("/lab") as (reader, writer):
        header = await reader.readexactly(2)
        await reader.readexactly(header[1])
        command = json.dumps({"do": "forge", "code": code}).encode()
        writer.write(bytes([0x81, 0x80 | len(command)]) + bytes(4) + command)
        assert await reader.read() == b"\x88\x02" + code.to_bytes(2, "big")


async def test_tells_what_it_saw_of_a_close(place):
    async with demo.serve(port=0) as server:
        async with visiting(place, server) as (websocket, visit, _):
            await websocket.close(4001, "Closing normally!")
        seen = await ending(place, server, visit)
        close = {"code": 4001, "reason": "Closing normally!"}
        assert seen["received"] == seen["sent"] == close
        assert seen["why"].startswith("the peer closed the connection")


async def test_an_ending_that_has_not_happened_is_waited_for_and_not_for_ever():
    app = App()
    lab = Lab(app)
    with lab.running():
        asked = asyncio.create_task(lab._ending("open"))
        await asyncio.sleep(0)
        app.publish(ENDED, encode({"visit": "another", "ending": {}}))
        await asyncio.sleep(0)
        assert not asked.done()
        app.publish(ENDED, encode({"visit": "open", "ending": {"code": 1000}}))
        assert await asked == {"code": 1000}
    assert await Lab(app, patience=0.01)._ending("open") is None


async def test_endings_are_forgotten_in_the_end():
    app = App()
    lab = Lab(app, patience=0.01)
    with lab.running():
        for number in range(MAX_ENDINGS + 1):
            app.publish(ENDED, encode({"visit": f"{number}", "ending": {}}))
        assert len(lab._endings) == MAX_ENDINGS
        assert await lab._ending("0") is None
        assert await lab._ending("1") == {}
    app.publish(ENDED, encode({"visit": "later", "ending": {}}))
    assert await lab._ending("later") is None


async def test_another_worker_knows_how_a_connection_ended(two_workers):
    async with two_workers() as (one, two):
        async with one.connect("/lab") as websocket:
            visit = json.loads(await websocket.recv())["visit"]
            await websocket.close(4001, "bye")
        async with two.connect("/lab") as websocket:
            await websocket.recv()
            await websocket.send(encode({"do": "ending", "visit": visit}))
            seen = json.loads(await websocket.recv())["ending"]
            assert seen["received"] == {"code": 4001, "reason": "bye"}


async def test_nonsense_is_answered(place):
    async with demo.serve(port=0) as server:
        async with visiting(place, server) as (websocket, _, tell):
            for message in ["", "[]", b"{}", '{"do":"dance"}', '{"do":"close","code":"x"}', "{}"]:
                await websocket.send(message)
                assert "error" in json.loads(await websocket.recv())
            await tell(do="forge", code=65536)
            assert "65535" in json.loads(await websocket.recv())["error"]


async def test_commands_are_short(place):
    async with demo.serve(port=0) as server:
        async with visiting(place, server) as (websocket, _, _):
            await websocket.send("x" * (MAX_COMMAND + 1))
            await websocket.wait_closed()
            assert websocket.close_code == 1009
