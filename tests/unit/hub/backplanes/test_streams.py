"""Sockets between processes: what the engine's do where asyncio's would."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from duologue.hub.backplanes import streams
from duologue.hub.backplanes.private import OwnedSocket

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs Unix sockets")

PATIENCE = 20


class Noting:
    """A protocol."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.received = b""
        self.changed = asyncio.Event()
        self.lost = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.changed.set()

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.changed.set()

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


class Failing:
    """A listening socket for which there is no descriptor at first."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.failed = False

    def fileno(self) -> int:
        return int(self.sock.fileno())

    def accept(self) -> Any:
        if not self.failed:
            self.failed = True
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return self.sock.accept()


@pytest.mark.skipif(sys.platform != "linux", reason="asyncio accepts there")
async def test_accepting_pauses_after_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PAUSE", 0.01)
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
    owned = OwnedSocket(tmp_path / "bus")
    here, there = Noting(), Noting()
    sock: Any = Failing(owned.sock)
    listening = await streams.listen(sock, lambda: here, lambda: listening.read())
    await streams.connect(str(owned.path), there)
    await here.until(lambda: here.transport is not None)
    (report,) = reports
    assert report["message"] == "accepting connections pauses for 0.01 s"
    assert report["exception"].errno == errno.EMFILE
    there.transport.write(b"hello")
    await here.until(lambda: here.received == b"hello")
    listening.close()
    here.transport.close()
    await there.until(lambda: there.lost)
    owned.close()


async def test_nobody_is_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await streams.connect(str(tmp_path / "bus"), Noting())
