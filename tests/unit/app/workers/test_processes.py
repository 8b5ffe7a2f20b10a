"""Several processes on one port, for real: topics, crashes, signals."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

import duologue

from .crew import PATIENCE, SIZE, ask, crew

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="needs fork()"),
    pytest.mark.timeout(90),
]

NUMBER = 80  # 5 MiB, more than the sockets between take


async def closing(ws: duologue.ClientConnection) -> tuple[int | None, str | None]:
    async with asyncio.timeout(PATIENCE):
        await ws.wait_closed()
    return ws.close_code, ws.close_reason


async def receive_burst(ws: duologue.ClientConnection) -> list[int]:
    """Receive all there is until the connection closes."""
    async with asyncio.timeout(PATIENCE):
        return [int(str(message)) async for message in ws]


async def burst(ws: duologue.ClientConnection) -> None:
    """Have messages wait for us in the server; its process is stuck in none of them."""
    await ws.send(f"burst {NUMBER}")
    async with asyncio.timeout(PATIENCE):
        assert int(str(await ws.recv())) == 0


async def test_topics_and_a_crash() -> None:
    async with crew() as served:
        clients = await served.connect_to_all(2)
        for ws in clients.values():
            await ask(ws, "subscribe news")
        (killed, first), (other, second) = clients.items()
        await first.send("publish news hello")
        async with asyncio.timeout(PATIENCE):
            assert await second.recv() == "hello"
            assert sorted([str(await first.recv()), str(await first.recv())]) == ["done", "hello"]
        os.kill(killed, signal.SIGKILL)
        assert (await closing(first))[0] == 1006
        # Whatever waited for it is answered by the next one: nobody is refused.
        again = await asyncio.gather(*(served.connect() for _ in range(20)))
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
        for ws in clients.values():
            assert await receive_burst(ws) == list(range(1, NUMBER))
            code, reason = await closing(ws)
            assert code == 1001
            assert (reason or "").startswith("retry after ")
        assert await served.ended() == 0
        with pytest.raises(OSError):
            await duologue.connect(f"ws://127.0.0.1:{served.port}/")


async def test_what_is_not_taken_is_cut_off() -> None:
    async with crew("--drain-timeout", "0.5") as served:
        ws, _ = await served.connect(max_queue=1)
        await burst(ws)
        served.signal(signal.SIGINT)
        assert await served.ended() == 0
        with pytest.raises(duologue.ConnectionClosedError):
            for _ in range(NUMBER):
                assert len(await ws.recv()) == SIZE


async def test_sighup_replaces_workers() -> None:
    async with crew() as served:
        clients = await served.connect_to_all(2)
        for ws in clients.values():
            await burst(ws)
        served.signal(signal.SIGHUP)
        came: list[int] = []

        async def come_and_go() -> None:
            while True:
                ws, pid = await served.connect()
                came.append(pid)
                await ws.close()

        visiting = asyncio.create_task(come_and_go())
        for ws in clients.values():
            assert await receive_burst(ws) == list(range(1, NUMBER))
            assert (await closing(ws))[0] == 1012
        await served.until("has left", 2)
        assert not visiting.done()  # nobody was refused
        visiting.cancel()
        await asyncio.wait([visiting])
        renewed = await served.connect_to_all(2)
        assert not renewed.keys() & clients.keys()


async def test_a_worker_that_hangs_is_replaced() -> None:
    async with crew("--worker-timeout", "1") as served:
        ws, pid = await served.connect()
        await ws.send("block 60")
        assert (await closing(ws))[0] == 1006
        (line,) = await served.until("no sign of life for worker_timeout of 1.0 s")
        assert str(pid) in line
        await served.until("worker . .* started", 3)
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
