from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from duologue.testing import (
    SimulatedNetwork,
)

from .ends import SERVER, Recorder, join, run


def test_half_close_leaves_the_other_way_open() -> None:
    network = SimulatedNetwork(delay=1)

    class Stays(Recorder):
        keep_open = True

    async def main() -> None:
        client, server, _ = await join(network, Stays)
        assert client.transport.can_write_eof()
        client.transport.write(b"last words")
        client.transport.write_eof()
        client.transport.write_eof()
        with pytest.raises(RuntimeError, match="write_eof"):
            client.transport.write(b"more")
        await asyncio.sleep(5)
        assert [event for _, event in server.events] == ["made", b"last words", "eof"]
        server.transport.write(b"answer")
        server.transport.close()
        await server.lost
        await asyncio.sleep(5)
        assert [event for _, event in client.events] == ["made", b"answer", "eof"]
        client.transport.close()
        assert await client.lost is None

    run(network, main)


def test_end_of_stream_closes_unless_the_protocol_keeps_it_open() -> None:
    network = SimulatedNetwork()

    async def main() -> None:
        client, server, _ = await join(network)
        client.transport.write_eof()
        assert await server.lost is None
        assert await client.lost is None
        assert server.marks == ["made", "eof", ("lost", type(None))]
        assert client.marks == ["made", "eof", ("lost", type(None))]

    run(network, main)


def test_close_writes_the_buffer_first() -> None:
    network = SimulatedNetwork(window=10)

    async def main() -> None:
        client, server, _ = await join(network)
        client.transport.write(bytes(1000))
        client.transport.close()
        assert client.transport.is_closing()
        client.transport.write(b"too late")
        assert client.transport.get_write_buffer_size() == 990
        assert await server.lost is None
        assert server.received == bytes(1000)
        assert server.marks[-2:] == ["eof", ("lost", type(None))]

    run(network, main)


def test_abort_loses_the_buffer() -> None:
    network = SimulatedNetwork(window=10)

    async def main() -> None:
        client, server, _ = await join(network)
        client.transport.write(bytes(1000))
        client.transport.abort()
        client.transport.abort()
        assert await client.lost is None
        await server.lost
        assert server.received == bytes(10)

    run(network, main)


def test_octets_for_an_end_that_has_gone_are_answered_with_a_reset() -> None:
    network = SimulatedNetwork(delay=1)

    class Stays(Recorder):
        keep_open = True

    async def main() -> None:
        client, server, _ = await join(network, Stays)
        client.transport.close()
        await asyncio.sleep(3)
        assert server.marks == ["made", "eof"]
        began = asyncio.get_running_loop().time()
        server.transport.write(b"hello?")
        assert isinstance(await server.lost, ConnectionResetError)
        assert asyncio.get_running_loop().time() - began == 2.0

    run(network, main)


def test_closing_with_unread_octets_resets() -> None:
    network = SimulatedNetwork()

    async def main() -> None:
        client, server, _ = await join(network)
        server.transport.pause_reading()
        client.transport.write(b"never read")
        await asyncio.sleep(1)
        server.transport.close()
        assert isinstance(await client.lost, ConnectionResetError)

    run(network, main)


def test_flow_control_pauses_the_writer_and_bounds_what_is_held() -> None:
    network = SimulatedNetwork(window=1000)

    async def main() -> None:
        client, server, link = await join(network)
        client.transport.set_write_buffer_limits(high=500, low=100)
        assert client.transport.get_write_buffer_limits() == (100, 500)
        server.transport.pause_reading()
        assert not server.transport.is_reading()
        client.transport.write(bytes(1500))
        assert client.transport.get_write_buffer_size() == 500
        assert "pause" not in client.marks
        client.transport.write(b"!")
        assert client.marks[-1] == "pause"
        await asyncio.sleep(100)
        assert server.received == b""
        assert link.to_server.octets_arrived == 1000
        assert client.marks == ["made", "pause"]
        server.transport.resume_reading()
        await asyncio.sleep(1)
        assert client.marks == ["made", "pause", "resume"]
        assert server.received == bytes(1500) + b"!"
        client.transport.close()
        await server.lost

    run(network, main)


def test_no_callback_comes_from_inside_write_or_resume_reading() -> None:
    network = SimulatedNetwork(window=10)

    async def main() -> None:
        client, server, _ = await join(network)
        client.transport.set_write_buffer_limits(high=0)
        server.transport.pause_reading()
        client.transport.write(bytes(15))
        await asyncio.sleep(1)
        assert client.marks == ["made", "pause"]
        server.transport.resume_reading()
        assert server.received == b""

        marks_after_write: list[list[Any]] = []

        def write_while_there_is_room(data: bytes) -> None:
            server.received += data
            if len(marks_after_write) < 3:  # each write makes another call: time would stand still
                client.transport.write(b"!")
                marks_after_write.append(client.marks[2:])

        server.data_received = write_while_there_is_room  # type: ignore[method-assign]
        await asyncio.sleep(1)
        assert marks_after_write[0] == []
        assert client.marks[2] == "resume"
        assert server.received == bytes(15) + b"!!!"
        client.transport.abort()
        await server.lost

    run(network, main)


def test_each_piece_is_delivered_in_a_loop_turn_of_its_own() -> None:
    network = SimulatedNetwork(split=1)

    async def main() -> None:
        client, server, _ = await join(network)
        client.transport.write(b"abc")
        seen = []
        for _ in range(20):
            await asyncio.sleep(0)
            seen.append(len(server.received))
        assert {0, 1, 2, 3} == set(seen)
        client.transport.close()
        await server.lost

    run(network, main)


def test_pausing_in_the_middle_of_pieces_delivers_no_more() -> None:
    network = SimulatedNetwork(split=1)

    class PausesAfterThree(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if len(self.received) == 3:
                self.transport.pause_reading()

    async def main() -> None:
        client, server, _ = await join(network, PausesAfterThree)
        client.transport.write(b"abcdef")
        await asyncio.sleep(1)
        assert server.received == b"abc"
        server.transport.pause_reading()
        server.transport.resume_reading()
        server.transport.resume_reading()
        await asyncio.sleep(1)
        assert server.received == b"abcdef"
        client.transport.close()
        await server.lost

    run(network, main)


@pytest.mark.parametrize(
    ("high", "low", "expected"),
    [(None, None, (16_384, 65_536)), (None, 10, (10, 40)), (100, None, (25, 100)), (0, 0, (0, 0))],
)
def test_write_buffer_limits(high: Any, low: Any, expected: tuple[int, int]) -> None:
    network = SimulatedNetwork()

    async def main() -> None:
        client, server, _ = await join(network)
        client.transport.set_write_buffer_limits(high, low)
        assert client.transport.get_write_buffer_limits() == expected
        with pytest.raises(ValueError, match="must be >="):
            client.transport.set_write_buffer_limits(1, 2)
        client.transport.close()
        await server.lost

    run(network, main)


class Buffered(asyncio.BufferedProtocol):
    def __init__(self) -> None:
        self.buffer = bytearray(4)
        self.received = b""
        self.hints: list[int] = []

    def get_buffer(self, sizehint: int) -> bytearray:
        self.hints.append(sizehint)
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.received += self.buffer[:nbytes]


def test_buffered_protocols_get_what_fits_their_buffer() -> None:
    network = SimulatedNetwork()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ends: list[Buffered] = []

        def factory() -> Buffered:
            ends.append(Buffered())
            return ends[-1]

        server = await loop.create_server(factory, *SERVER)
        transport, _ = await loop.create_connection(asyncio.Protocol, *SERVER)
        transport.write(b"0123456789")
        await asyncio.sleep(1)
        assert ends[0].received == b"0123456789"
        assert ends[0].hints == [10, 6, 2]
        transport.close()
        server.close()
        await server.wait_closed()

    run(network, main)


def test_a_buffered_protocol_without_room_is_an_error() -> None:
    network = SimulatedNetwork()
    reports: list[dict[str, Any]] = []

    class NoRoom(Buffered):
        def __init__(self) -> None:
            super().__init__()
            self.buffer = bytearray()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reports.append(context))
        server = await loop.create_server(NoRoom, *SERVER)
        transport, client = await loop.create_connection(Recorder, *SERVER)
        transport.write(b"x")
        await client.lost
        server.close()
        await server.wait_closed()

    run(network, main)
    assert "empty buffer" in str(reports[0]["exception"])


def test_a_protocol_that_raises_is_reported_and_closed() -> None:
    network = SimulatedNetwork()
    reports: list[dict[str, Any]] = []

    class Raises(Recorder):
        def data_received(self, data: bytes) -> None:
            if data == b"bad":
                raise ZeroDivisionError

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, c: reports.append(c))
        client, server, _ = await join(network, Raises)
        client.transport.write(b"bad")
        assert isinstance(await server.lost, ZeroDivisionError)
        await client.lost

    run(network, main)
    assert [type(report["exception"]) for report in reports] == [ZeroDivisionError]


def test_addresses_are_told_like_a_sockets() -> None:
    network = SimulatedNetwork()

    async def main() -> None:
        client, server, _ = await join(network)
        here, there = ("10.0.0.1", 49_152), ("10.0.0.2", 8000)
        assert client.transport.get_extra_info("sockname") == here
        assert client.transport.get_extra_info("peername") == there
        assert server.transport.get_extra_info("sockname") == there
        assert server.transport.get_extra_info("peername") == here
        assert client.transport.get_extra_info("ssl_object") is None
        sock = client.transport.get_extra_info("socket")
        assert (sock.getsockname(), sock.getpeername()) == (here, there)
        assert sock.family == socket.AF_INET
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        client.transport.close()
        await server.lost

    run(network, main)


def test_streams_run_over_it_unchanged() -> None:
    network = SimulatedNetwork(split=(1, 5), delay=0.001, seed=1)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        async with await asyncio.start_server(echo, *SERVER):
            reader, writer = await asyncio.open_connection(*SERVER)
            for number in range(50):
                writer.write(b"line %d\n" % number)
                assert await reader.readline() == b"line %d\n" % number
            writer.close()
            await writer.wait_closed()
        await asyncio.sleep(1)

    run(network, main)
