from __future__ import annotations

import asyncio
import datetime
import hashlib
import json

import pytest

from duologue.asyncio.client import connect
from duologue.frontends import demo
from duologue.frontends.demo import bounds
from duologue.frontends.demo.services import digest, rpc, stream, subprotocol, ticker
from duologue.testing import pair


async def ask(websocket, **call):
    await websocket.send(json.dumps(call))


async def served(service, server):
    """Runs a service on the server's end of a pair."""
    return asyncio.create_task(service(server))


@pytest.mark.virtual_time
async def test_the_ticker_speaks_once_a_second_and_never_waits_to_be_asked():
    loop = asyncio.get_running_loop()
    async with pair() as (client, server):
        serving = await served(ticker, server)
        began = loop.time()
        for number in range(1, 61):
            if number == 30:
                await client.send("what comes is ignored")
            tick = json.loads(await client.recv())
            assert tick["number"] == number
            assert datetime.datetime.fromisoformat(tick["time"]).tzinfo is not None
            assert loop.time() - began == pytest.approx((number - 1) * bounds.TICK, abs=0.01)
        await client.close()
        await serving


@pytest.mark.virtual_time
async def test_the_stream_talks_and_listens_at_once():
    async with pair() as (client, server):
        serving = await served(stream, server)
        heard = []
        for number in range(1, bounds.STREAM_MESSAGES + 1):
            await client.send("page speaks")
            message = json.loads(await client.recv())
            assert message["number"] == number
            heard.append(message["received"])
        assert heard == sorted(heard)
        assert heard[0] <= 1
        assert heard[-1] >= bounds.STREAM_MESSAGES - 2
        await client.send("done")
        final = json.loads(await client.recv())
        assert final == {"done": True, "received": bounds.STREAM_MESSAGES}
        await client.close()
        await serving


@pytest.mark.virtual_time
async def test_the_stream_ends_with_its_connection():
    async with pair() as (client, server):
        serving = await served(stream, server)
        await client.recv()
        await client.close()
        await serving


@pytest.mark.virtual_time
async def test_calls_are_answered_as_soon_as_they_are_ready():
    async with pair() as (client, server):
        serving = await served(rpc, server)
        await ask(client, id=1, method="nap", params=[0.5])
        await ask(client, id="two", method="add", params=[2, 3.5])
        await ask(client, id=3, method="upper", params=["grüße"])
        answers = [json.loads(await client.recv()) for _ in range(3)]
        assert answers == [
            {"jsonrpc": "2.0", "id": "two", "result": 5.5},
            {"jsonrpc": "2.0", "id": 3, "result": "GRÜSSE"},
            {"jsonrpc": "2.0", "id": 1, "result": "slept for 0.5 s"},
        ]
        await client.close()
        await serving


@pytest.mark.parametrize(
    ("call", "code", "words"),
    [
        ({"id": 1, "method": "divide"}, -32601, "add, upper, nap"),
        ({"id": 1}, -32601, "no such method"),
        ({"id": 1, "method": "add", "params": [1]}, -32600, "two numbers"),
        ({"id": 1, "method": "add", "params": [1, "2"]}, -32600, "two numbers"),
        ({"id": 1, "method": "add", "params": [1, 1e300]}, -32600, "1e15"),
        ({"id": 1, "method": "upper", "params": {}}, -32600, "a text"),
        ({"id": 1, "method": "nap", "params": [3]}, -32600, f"{bounds.MAX_CALL_SLEEP}"),
        ({"id": 1, "method": "nap", "params": [-1]}, -32600, "from 0"),
        ({"id": [], "method": "add"}, -32600, "id must be"),
    ],
)
async def test_calls_that_fail_say_why(call, code, words):
    async with pair() as (client, server):
        serving = await served(rpc, server)
        await ask(client, **call)
        answer = json.loads(await client.recv())
        assert answer["error"]["code"] == code
        assert words in answer["error"]["message"]
        assert answer["id"] == (call["id"] if isinstance(call["id"], int) else None)
        await client.send("not JSON")
        assert json.loads(await client.recv())["error"]["message"] == "a command is a JSON object"
        await client.close()
        await serving


@pytest.mark.virtual_time
async def test_calls_beyond_the_bound_wait():
    loop = asyncio.get_running_loop()
    async with pair() as (client, server):
        serving = await served(rpc, server)
        began = loop.time()
        for number in range(2 * bounds.MAX_CALLS):
            await ask(client, id=number, method="nap", params=[1])
        times = []
        for _ in range(2 * bounds.MAX_CALLS):
            await client.recv()
            times.append(round(loop.time() - began))
        assert times == [1] * bounds.MAX_CALLS + [2] * bounds.MAX_CALLS
        await client.close()
        await serving


@pytest.mark.virtual_time
async def test_a_caller_may_leave_before_the_answer():
    async with pair() as (client, server):
        serving = await served(rpc, server)
        await ask(client, id=1, method="nap", params=[2])
        await client.close()
        await serving


@pytest.mark.parametrize("message", ["", "你好", b"", bytes(range(256)), bytes(1_000_000)])
async def test_the_digest_says_what_has_arrived(message):
    octets = message.encode() if isinstance(message, str) else message
    async with pair() as (client, server):
        serving = await served(digest, server)
        await client.send(message)
        assert json.loads(await client.recv()) == {
            "type": "text" if isinstance(message, str) else "binary",
            "bytes": len(octets),
            "sha256": hashlib.sha256(octets).hexdigest(),
            "begins": octets[:16].hex(" "),
        }
        await client.close()
        await serving


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["chat.v1"], "chat.v1"),
        (["chat.v1", "chat.v2"], "chat.v2"),
        (["soap", "chat.v1"], "chat.v1"),
        (["soap"], None),
        (None, None),
    ],
)
async def test_subprotocols_are_chosen_by_the_servers_preference(place, offered, chosen):
    async with demo.serve(port=0) as server:
        url = place(server).url("/subprotocol")
        async with connect(url, subprotocols=offered) as websocket:
            assert websocket.subprotocol == chosen
            said = json.loads(await websocket.recv())
            assert said == {"offered": ", ".join(offered or []), "chosen": chosen}


async def test_elsewhere_no_subprotocol_is_chosen(place):
    async with demo.serve(port=0) as server:
        async with connect(place(server).url("/echo"), subprotocols=["chat.v1"]) as websocket:
            assert websocket.subprotocol is None


@pytest.mark.parametrize("service", [rpc, subprotocol])
async def test_short_messages_are_expected(place, service):
    async with demo.serve(port=0) as server:
        async with connect(place(server).url(f"/{service.__name__}")) as websocket:
            await websocket.send("x" * (bounds.MAX_COMMAND + 1))
            await websocket.wait_closed()
            assert websocket.close_code == 1009
