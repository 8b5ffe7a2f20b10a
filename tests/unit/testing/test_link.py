from __future__ import annotations

import asyncio
from typing import Any

import pytest

from duologue.testing import (
    SimulatedNetwork,
)

from .ends import Recorder, join, run


def test_octets_come_in_order_after_the_delay() -> None:
    network = SimulatedNetwork(delay=0.05)

    async def main() -> None:
        client, server, _ = await join(network)
        assert client.events == [(0.1, "made")]
        assert server.events == [(0.05, "made")]
        client.transport.write(b"one")
        await asyncio.sleep(0.02)
        client.transport.write(b"two")
        server.transport.write(b"back")
        await asyncio.sleep(1)
        assert server.events[1:] == [(0.15, b"one"), (0.17, b"two")]
        assert client.events[1:] == [(0.17, b"back")]
        client.transport.close()
        await server.lost

    run(network, main)


def test_a_drawn_delay_never_changes_the_order() -> None:
    network = SimulatedNetwork(delay=(0.0, 1.0), seed=3)

    async def main() -> None:
        client, server, _ = await join(network)
        began = asyncio.get_running_loop().time()
        for number in range(100):
            client.transport.write(bytes([number]))
            await asyncio.sleep(0.001)
        await asyncio.sleep(3)
        assert server.received == bytes(range(100))
        times = [moment for moment, event in server.events if isinstance(event, bytes)]
        assert times == sorted(times)
        assert len(set(times)) > 3
        assert times[-1] - began <= 1.1
        client.transport.close()
        await server.lost

    run(network, main)


def test_bandwidth_takes_its_time() -> None:
    network = SimulatedNetwork(bandwidth=1000, delay=0.5, split=100)

    async def main() -> None:
        client, server, _ = await join(network)
        began = asyncio.get_running_loop().time()
        client.transport.write(bytes(1000))
        await asyncio.sleep(10)
        times = [round(t - began, 6) for t, event in server.events if isinstance(event, bytes)]
        assert times == [0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5]
        client.transport.close()
        await server.lost

    run(network, main)


@pytest.mark.parametrize("split", [1, 3, 7, 1000])
def test_split_every_n_octets(split: int) -> None:
    network = SimulatedNetwork(split=split)

    async def main() -> None:
        client, server, _ = await join(network)
        data = bytes(range(256))
        client.transport.write(data)
        await asyncio.sleep(1)
        assert server.pieces == [data[i : i + split] for i in range(0, 256, split)]
        client.transport.close()
        await server.lost

    run(network, main)


def drawn_pieces(seed: int) -> list[tuple[float, Any]]:
    network = SimulatedNetwork(seed=seed, split=(1, 7), delay=(0.01, 0.1))

    async def main() -> list[tuple[float, Any]]:
        client, server, _ = await join(network)
        for _ in range(5):
            client.transport.write(bytes(range(100)))
            await asyncio.sleep(0.05)
        client.transport.close()
        await server.lost
        assert server.received == bytes(range(100)) * 5
        return server.events

    events: list[tuple[float, Any]] = run(network, main)
    return events


def test_the_same_seed_gives_the_same_run() -> None:
    first = drawn_pieces(11)
    lengths = {len(event) for _, event in first if isinstance(event, bytes)}
    assert lengths == {1, 2, 3, 4, 5, 6, 7}
    assert first == drawn_pieces(11)
    assert first != drawn_pieces(12)


def test_without_split_what_has_arrived_is_read_together() -> None:
    network = SimulatedNetwork()

    async def main() -> None:
        client, server, _ = await join(network)
        client.transport.writelines([b"a", b"b"])
        client.transport.write(b"c")
        await asyncio.sleep(1)
        assert server.pieces == [b"abc"]
        client.transport.close()
        await server.lost

    run(network, main)


def test_a_stall_holds_octets_back_and_loses_none() -> None:
    network = SimulatedNetwork(delay=0.5)

    async def main() -> None:
        client, server, link = await join(network)
        client.transport.write(b"one")
        link.stall(30)
        server.transport.write(b"back")
        await asyncio.sleep(1)
        client.transport.write(b"two")
        await asyncio.sleep(60)
        assert server.events[1:] == [(31.0, b"onetwo")]
        assert client.events[1:] == [(31.0, b"back")]
        link.to_server.stall()
        client.transport.write(b"three")
        server.transport.write(b"this way is open")
        await asyncio.sleep(1000)
        assert server.received == b"onetwo"
        assert client.received == b"backthis way is open"
        link.resume()
        await asyncio.sleep(1)
        assert server.received == b"onetwothree"
        client.transport.close()
        await server.lost

    run(network, main)


@pytest.mark.parametrize(("how", "error"), [("reset", ConnectionResetError), ("eof", type(None))])
def test_a_cut_loses_what_is_on_its_way(how: Any, error: type) -> None:
    network = SimulatedNetwork(delay=0.5)

    async def main() -> None:
        client, server, link = await join(network)
        client.transport.write(b"arrives")
        await asyncio.sleep(0.6)
        client.transport.write(b"on its way")
        server.transport.write(b"on its way")
        link.cut(how)
        assert isinstance(await client.lost, error)
        assert isinstance(await server.lost, error)
        assert server.received == b"arrives"
        assert client.received == b""

    run(network, main)


def test_writing_after_a_cut_with_eof_is_answered_with_a_reset() -> None:
    network = SimulatedNetwork()

    class Stays(Recorder):
        keep_open = True

    async def main() -> None:
        client, server, link = await join(network, Stays)
        link.cut("eof")
        await asyncio.sleep(1)
        assert client.marks == server.marks == ["made", "eof"]
        client.transport.write(b"anyone?")
        assert isinstance(await client.lost, ConnectionResetError)
        server.transport.close()
        assert await server.lost is None

    run(network, main)


def test_a_vanished_peer_tells_nobody_anything() -> None:
    network = SimulatedNetwork(window=100)

    async def main() -> None:
        client, server, link = await join(network)
        client.transport.set_write_buffer_limits(10)
        link.cut("vanish")
        link.resume()
        client.transport.write(bytes(200))
        server.transport.close()
        await asyncio.sleep(100_000)
        assert client.marks == ["made", "pause"]
        assert client.transport.get_write_buffer_size() == 100
        client.transport.close()
        await asyncio.sleep(100_000)
        assert not client.lost.done()
        client.transport.abort()
        assert await client.lost is None

    run(network, main)


def test_a_cut_can_be_set_to_an_octet() -> None:
    network = SimulatedNetwork(split=(1, 7))

    async def main() -> None:
        client, server, link = await join(network)
        link.to_server.cut_after(25, "reset")
        client.transport.write(bytes(range(100)))
        assert isinstance(await server.lost, ConnectionResetError)
        assert isinstance(await client.lost, ConnectionResetError)
        assert server.received == bytes(range(25))
        with pytest.raises(ValueError, match="25 octets have arrived"):
            link.to_server.cut_after(24)

    run(network, main)


def test_a_cut_at_an_octet_can_vanish() -> None:
    network = SimulatedNetwork(split=10)

    async def main() -> None:
        client, server, link = await join(network)
        link.to_server.cut_after(25, "vanish")
        client.transport.write(bytes(range(100)))
        await asyncio.sleep(1000)
        assert server.received == bytes(range(25))
        assert server.marks == client.marks == ["made"]
        client.transport.abort()
        server.transport.abort()
        await asyncio.sleep(0)

    run(network, main)


def test_conditions_can_change_while_connected() -> None:
    network = SimulatedNetwork(split=1)

    async def main() -> None:
        client, server, link = await join(network)
        client.transport.write(b"ab")
        await asyncio.sleep(1)
        link.change(split=None, delay=5)
        client.transport.write(b"cd")
        await asyncio.sleep(10)
        assert server.pieces == [b"a", b"b", b"cd"]
        assert server.events[-1][0] == 6.0
        client.transport.close()
        await server.lost

    run(network, main)


@pytest.mark.parametrize(
    "wrong",
    [
        {"delay": -1},
        {"delay": (2, 1)},
        {"bandwidth": 0},
        {"split": 0},
        {"split": (0, 3)},
        {"split": (3, 2)},
        {"window": 0},
    ],
)
def test_wrong_conditions_are_refused(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name} must be"):
        SimulatedNetwork(**wrong)
