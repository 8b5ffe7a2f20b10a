"""What every other implementation looks like to a test: an end that does as told and reports.

A :class:`Peer` is one end of one conversation. It listens or connects, obeys orders, and puts a
:class:`Report` into its queue for whatever happens at its end, in order.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

PATIENCE = 15.0
"""Seconds after which a test gives up on an answer."""


@dataclass(frozen=True)
class TlsFiles:
    """Where the PEM files of a throw-away authority are.

    Attributes:
        authority: Certificate of the authority, to be trusted by clients.
        certificate: Private key and certificate chain for a server on 127.0.0.1.
    """

    authority: Path
    certificate: Path


@dataclass(frozen=True)
class Report:
    """One thing that happened at the peer's end.

    Attributes:
        kind: ``open``, ``message``, ``pong``, ``closed``, ``refused``, ``failed`` or ``gone``.
        details: What the peer knows about it, by name.
    """

    kind: str
    details: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.details[name]
        except KeyError:
            raise AttributeError(name) from None


class Peer(ABC):
    """One end of a conversation, run by another implementation.

    Attributes:
        name: For test ids.
        roles: The ends it can be, of ``server`` and ``client``.
        deflates: Whether it has permessage-deflate.
        deflate_optional: Whether permessage-deflate can be turned off.
        fragments: The types it can send in several frames.
        pings: Whether it can send a ping and see the pong.
        closes_empty: Whether it can send a Close frame without a code.
        mirrors_close: Whether it answers a Close frame with the same code.
        heeds_answer: Whether, as a server, it reports the answer to its own Close frame.
        ends_tcp: Whether, as a server, it ends TCP when the closing handshake is done.
        drops: Whether it can end TCP without a Close frame.
        secures: Whether its script can talk over TLS.
        tls: The files to use for TLS; plain TCP without.
    """

    name: ClassVar[str]
    roles: ClassVar[tuple[str, ...]] = ("server", "client")
    deflates: ClassVar[bool] = True
    deflate_optional: ClassVar[bool] = True
    fragments: ClassVar[tuple[type, ...]] = (str, bytes)
    pings: ClassVar[bool] = True
    closes_empty: ClassVar[bool] = True
    mirrors_close: ClassVar[bool] = True
    heeds_answer: ClassVar[bool] = True
    ends_tcp: ClassVar[bool] = True
    drops: ClassVar[bool] = True
    secures: ClassVar[bool] = False
    tls: TlsFiles | None = None

    def __init__(self) -> None:
        self.reports: asyncio.Queue[Report] = asyncio.Queue()

    def report(self, kind: str, **details: Any) -> None:
        self.reports.put_nowait(Report(kind, details))

    async def next(self, kind: str) -> Report:
        """Wait for the next report and insist on its kind."""
        async with asyncio.timeout(PATIENCE):
            report = await self.reports.get()
        assert report.kind == kind, f"{self.name}: wanted {kind}, got {report}"
        return report

    async def message(self) -> Any:
        """Wait for a message to arrive at the peer's end and return it."""
        return (await self.next("message")).data

    @abstractmethod
    def running(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Hold whatever the peer needs to live; nothing of it is left afterwards."""

    @abstractmethod
    async def listen(self, *, subprotocols: Sequence[str], deflate: bool) -> int:
        """Serve on 127.0.0.1 and return the port."""

    @abstractmethod
    async def connect(self, url: str, *, subprotocols: Sequence[str], deflate: bool) -> None:
        """Start connecting; reports ``open`` or ``refused``."""

    @abstractmethod
    async def send(self, message: str | bytes) -> None: ...

    @abstractmethod
    async def send_fragments(self, parts: Sequence[str] | Sequence[bytes]) -> None: ...

    @abstractmethod
    async def ping(self, data: bytes) -> None: ...

    @abstractmethod
    async def close(self, code: int | None, reason: str) -> None: ...

    @abstractmethod
    async def drop(self) -> None: ...


@contextlib.asynccontextmanager
async def background(coroutine: Any) -> AsyncIterator[None]:
    """Run a coroutine beside the block; its failure is the block's failure."""
    task = asyncio.ensure_future(coroutine)
    try:
        yield
    finally:
        if not task.done():
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
