"""Several processes on one port, for real: topics, crashes, signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys

import pytest

import duologue

from .crew import PATIENCE, SIZE, ask, crew

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="needs fork()"),
    pytest.mark.timeout(90),
]

NUMBER = 80  # 5 MiB
MORE = 700  # 44 MiB, more than the sockets between take


async def closing(ws: duologue.ClientConnection) -> tuple[int | None, str | None]:
    async with asyncio.timeout(PATIENCE):
        await ws.wait_closed()
    return ws.close_code, ws.close_reason


async def receive_burst(ws: duologue.ClientConnection) -> list[int]:
    """Receive all there is until the connection closes."""
    received = []
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(duologue.ConnectionClosed):
            while True:
                received.append(int(str(await ws.recv())))
    return received


async def burst(ws: duologue.ClientConnection) -> None:
    """Have messages wait for us in the server; their sends have all returned."""
    await ws.send(f"burst {NUMBER}")
    async with asyncio.timeout(PATIENCE):
        assert int(str(await ws.recv())) == 0


async def connections_told(port: int) -> list[str]:
    """Ask for the metrics: how many connections each worker has."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(PATIENCE):
        text = (await reader.read()).decode()
    writer.close()
    return [line for line in text.splitlines() if line.startswith("duologue_connections{")]


async def test_topics_and_a_crash() -> None:
    async with crew("--metrics", "0") as served:
        clients = await served.connect_to_all(2)
        (line,) = await served.until("metrics at ")
        port = int(line.rpartition(":")[2].partition("/")[0])
        expected = [f'duologue_connections{{worker="{n}"}} 1' for n in (1, 2)]
        async with asyncio.timeout(PATIENCE):
            while sorted(await connections_told(port)) != expected:
                await asyncio.sleep(0.1)
        for ws in clients.values():
            await ask(ws, "subscribe news")
        (killed, first), (other, second) = clients.items()
        await first.send("publish news hello")
        async with asyncio.timeout(PATIENCE):
            assert await second.recv() == "hello"
            assert sorted([str(await first.recv()), str(await first.recv())]) == ["done", "hello"]
        for n in range(50):
            # Whoever is told that he is subscribed gets what is published from then on.
            await ask(second, f"subscribe {n}")
            await ask(first, f"publish {n} hello")
            async with asyncio.timeout(PATIENCE):
                assert await second.recv() == "hello"
        os.kill(killed, signal.SIGSTOP)
        queued = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(20)]
        os.kill(killed, signal.SIGKILL)
        assert (await closing(first))[0] == 1006
        # Whoever waited for it is answered by the next one: nobody is refused.
        again = await asyncio.gather(*(served.connect(sock=sock) for sock in queued))
        assert killed not in {pid for _, pid in again}
        assert {pid for _, pid in again} > {other}
        for ws, pid in again:
            if pid != other:
                await ask(ws, "publish news again")
                break
        async with asyncio.timeout(PATIENCE):
            assert await second.recv() == "again"
        served.signal(signal.SIGTERM)
        assert await served.ended() == 0
        for ws in [second, *(ws for ws, _ in again)]:
            assert (await closing(ws))[0] == 1001


async def test_sigterm_loses_nothing() -> None:
    async with crew("--drain-timeout", "30") as served:
        clients = await served.connect_to_all(2)
        for ws in clients.values():
            await burst(ws)
        served.signal(signal.SIGTERM)
        await served.until("server closing", 2)
        received = await asyncio.gather(*map(receive_burst, clients.values()))
        assert received == [list(range(1, NUMBER))] * 2
        for ws in clients.values():
            assert ws.close_code == 1001
            assert (ws.close_reason or "").startswith("retry after ")
        assert await served.ended() == 0
        with pytest.raises(OSError):
            await duologue.connect(f"ws://127.0.0.1:{served.port}/")


async def test_what_is_not_taken_is_cut_off() -> None:
    async with crew("--drain-timeout", "0.5") as served:
        # A stream reads no more than its limit on its own.
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        words = f"burst {MORE}".encode()
        writer.write(bytes([0x81, 0x80 | len(words)]) + bytes(4) + words)
        async with asyncio.timeout(PATIENCE):
            await reader.readuntil(b" " * 1000)
        served.signal(signal.SIGINT)
        assert await served.ended() == 0
        left = 0
        with contextlib.suppress(ConnectionResetError):
            while octets := await reader.read(SIZE):
                left += len(octets)
        assert left < (MORE - 1) * SIZE
        writer.close()


async def test_workers_leave_when_their_parent_is_killed() -> None:
    async with crew() as served:
        ws, _ = await served.connect()
        served.signal(signal.SIGKILL)
        assert await served.ended() == -signal.SIGKILL  # its output ends with the last child's
        assert (await closing(ws))[0] == 1001


async def test_sighup_replaces_workers() -> None:
    async with crew() as served:
        clients = await served.connect_to_all(2)
        for ws in clients.values():
            await burst(ws)
        served.signal(signal.SIGHUP)

        enough = asyncio.Event()

        async def come_and_go() -> None:
            while not enough.is_set():
                ws, _ = await served.connect()
                await ws.close()
                await asyncio.sleep(0.02)

        visiting = asyncio.create_task(come_and_go())
        # At once: who doesn't read does not answer the Close frame either.
        received = await asyncio.gather(*map(receive_burst, clients.values()))
        assert received == [list(range(1, NUMBER))] * 2
        assert [ws.close_code for ws in clients.values()] == [1012, 1012]
        await served.until("has left", 2)
        enough.set()
        await visiting  # nobody was refused
        renewed = await served.connect_to_all(2)
        assert not renewed.keys() & clients.keys()


async def test_a_worker_that_hangs_is_replaced() -> None:
    async with crew("--worker-timeout", "5") as served:
        ws, pid = await served.connect()
        await ws.send("block 60")
        assert (await closing(ws))[0] == 1006
        (line,) = await served.until("no sign of life for worker_timeout of 5.0 s")
        assert str(pid) in line
        await served.until("replaced in")
        ws, _ = await served.connect()
        await ws.close()


async def test_what_fails_at_once_is_not_tried_again() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "duologue", "serve", "crew:nothing", "--port", "0"),
        *("--workers", "2"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=os.path.dirname(__file__),
    )
    output, _ = await process.communicate()
    assert process.returncode == 1
    assert b"nothing" in output
    assert b"Traceback" not in output
