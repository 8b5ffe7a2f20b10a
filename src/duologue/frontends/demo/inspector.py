"""The inspector: shows a visitor the octets of the visitor's own connections.

An inspector page opens ``/inspect``, the watch, and is given a token. It then opens up to
:data:`~.bounds.MAX_SUBJECTS` connections to ``/inspected?token=…``, the subjects, which echo.
What passes on these, octet for octet, is reported on the watch: first both heads of the handshake,
then each frame of both directions. Two connections are needed, since a report on the connection
that it is about would have to report itself.

The page may also ask, on the watch, for something to be sent on its subjects: ``{"do":"push"}``,
``"ping"``, ``"fragments"``, ``"lengths"``, ``"binary"`` or ``"close"``.

Nobody sees another's connection: a token can't be guessed, and is forgotten with its watch. It must
never hold a connection up: reports that the page doesn't take are counted and dropped.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from typing import Any

from duologue.app.errors import HTTPError
from duologue.app.guard import UpgradeRequest
from duologue.asyncio.server import ServerConnection
from duologue.exceptions import ConnectionClosed
from duologue.frames import Opcode
from duologue.frontends.demo import bounds
from duologue.frontends.demo.commands import BadCommand, encode, parse, text
from duologue.frontends.demo.connection import DemoConnection
from duologue.frontends.demo.sight import FrameReader, Sighting

__all__ = ["InspectedConnection", "Inspector"]

_NAMES = {int(each): each.name.lower() for each in Opcode} | {0: "continuation"}


class _Watch:
    """One inspector page: its reports, and the connections that they are about."""

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(16)
        self.subjects: set[_Subject] = set()
        self.reports: asyncio.Queue[dict[str, Any]] = asyncio.Queue(bounds.MAX_REPORTS)
        self.opened = 0
        self._lost = 0

    def report(self, report: dict[str, Any]) -> None:
        if self._lost:
            report = report | {"lost": self._lost}
        try:
            self.reports.put_nowait(report)
            self._lost = 0
        except asyncio.QueueFull:
            self._lost += 1


class _Subject:
    """A connection that is inspected; the tap on it."""

    connection: DemoConnection

    def __init__(self, watch: _Watch) -> None:
        self.number = 0
        self._watch = watch
        self._began = time.monotonic()
        self._frames = 0
        self._readers = {"received": FrameReader(), "sent": FrameReader()}

    def _report(self, **report: Any) -> None:
        after = round(time.monotonic() - self._began, 4)
        self._watch.report({"connection": self.number, "after": after, **report})

    # -- the tap

    def heads(self, request: bytes, response: bytes) -> None:
        self._watch.opened += 1
        self._watch.subjects.add(self)
        self.number = self._watch.opened
        self._report(
            request=request.decode("iso-8859-1"),
            response=response.decode("iso-8859-1"),
            tls=_tls(self.connection),
        )
        if self.connection.extensions:
            self._readers = {way: FrameReader(inflates=True) for way in self._readers}

    def received(self, octets: bytes) -> None:
        self._look("received", octets)

    def sent(self, octets: bytes) -> None:
        self._look("sent", octets)

    def _look(self, way: str, octets: bytes) -> None:
        if self._frames >= bounds.MAX_FRAMES:
            return
        for frame in self._readers[way].feed(octets):
            self._frames += 1
            self._report(frame=_described(way, frame))
            if self._frames == bounds.MAX_FRAMES:
                self._report(limit=bounds.MAX_FRAMES)
                return

    def ended(self) -> None:
        self._watch.subjects.discard(self)
        self._report(ended=True)


class InspectedConnection(DemoConnection):
    """A connection whose tap, a subject, is its ``user_data`` from the beginning."""

    def heads_exchanged(self, request: bytes, response: bytes) -> None:
        """Tells the tap whom it listens in on, and of the opening handshake.

        Args:
            request: Head of the request.
            response: Head of the 101.
        """
        self.tap = subject = self.user_data
        subject.connection = self
        super().heads_exchanged(request, response)


class Inspector:
    """The service behind the inspector's page."""

    def __init__(self) -> None:
        self._watches: dict[str, _Watch] = {}

    # -- the watch

    async def watch(self, websocket: ServerConnection) -> None:
        """Serves one inspector page until it ends.

        Args:
            websocket: The connection for the reports.
        """
        websocket.max_message_size = bounds.MAX_COMMAND
        if len(self._watches) >= bounds.MAX_WATCHES:
            await websocket.close(1013, f"{bounds.MAX_WATCHES} inspectors are open, the most")
            return
        watch = _Watch()
        self._watches[watch.token] = watch
        watch.report({"token": watch.token, "frames": bounds.MAX_FRAMES, "shown": bounds.PREVIEW})
        reporting = asyncio.create_task(_pass_on(watch, websocket))
        try:
            async for message in websocket:
                await _obey(watch, message)
        except ConnectionClosed:
            pass
        finally:
            del self._watches[watch.token]
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)

    # -- the subjects

    async def admit(self, request: UpgradeRequest) -> None:
        """Accepts a connection that is to be inspected, with a tap on it.

        Args:
            request: Its request, with the token in the query.

        Raises:
            HTTPError: If it must not open.
        """
        given = request.query_params.get("token", "").encode()
        watch = None
        for token, each in self._watches.items():
            if hmac.compare_digest(token.encode(), given):
                watch = each
        if watch is None:
            raise HTTPError(403, "There is no such inspector: open /inspector in a browser.")
        if len(watch.subjects) >= bounds.MAX_SUBJECTS:
            most = f"{bounds.MAX_SUBJECTS} connections are inspected already, the most at once."
            raise HTTPError(403, most)
        await request.accept(user_data=_Subject(watch))

    async def subject(self, websocket: ServerConnection) -> None:
        """Echoes on an inspected connection until it ends.

        Args:
            websocket: The connection.
        """
        websocket.max_message_size = bounds.MAX_INSPECTED
        try:
            async for message in websocket:
                await websocket.send(message)
        except ConnectionClosed:
            pass


async def _pass_on(watch: _Watch, websocket: ServerConnection) -> None:
    while True:
        await websocket.send(encode(await watch.reports.get()))


async def _obey(watch: _Watch, message: str | bytes) -> None:
    try:
        wish = text(parse(message), "do")
        if wish not in _WISHES:
            raise BadCommand(f"do must be one of {', '.join(_WISHES)}")
        for subject in list(watch.subjects):
            try:
                await _WISHES[wish](subject.connection)
            except ConnectionClosed:
                pass  # by the page, a moment ago
    except BadCommand as error:
        watch.report({"error": str(error)})


async def _push(connection: ServerConnection) -> None:
    await connection.send("Nobody has asked: the server speaks.")


async def _ping(connection: ServerConnection) -> None:
    pong = asyncio.ensure_future(await connection.ping(b"still there?"))
    # The page sees the pong, or the end; here nobody waits for it.
    pong.add_done_callback(lambda pong: pong.cancelled() or pong.exception())


async def _fragments(connection: ServerConnection) -> None:
    # Uncompressed, so that the frames can be read.
    await connection.send(["one ", "message ", "in ", "fragments"], compress=False)


async def _lengths(connection: ServerConnection) -> None:
    for size in (125, 126, 65_535, 65_536):
        await connection.send(bytes(size), compress=False)


async def _binary(connection: ServerConnection) -> None:
    await connection.send(bytes(range(16)))


async def _close(connection: ServerConnection) -> None:
    connection.start_close(1000, "as you wished")


_WISHES = {
    "push": _push,
    "ping": _ping,
    "fragments": _fragments,
    "lengths": _lengths,
    "binary": _binary,
    "close": _close,
}


def _tls(connection: ServerConnection) -> str | None:
    """What TLS has agreed on, as in "TLSv1.3, TLS_AES_256_GCM_SHA384"; ``None`` without TLS."""
    transport = connection.transport
    layer = None if transport is None else transport.get_extra_info("ssl_object")
    return None if layer is None else f"{layer.version()}, {layer.cipher()[0]}"


def _described(way: str, frame: Sighting) -> dict[str, Any]:
    octets = frame.payload if frame.inflated is None else frame.inflated
    is_text = frame.opcode in (Opcode.TEXT, Opcode.CONT) or frame.opcode > 8
    report: dict[str, Any] = {
        "way": way,
        "opcode": frame.opcode,
        "name": _NAMES.get(frame.opcode, "reserved"),
        "fin": frame.fin,
        "rsv": "".join("01"[bit] for bit in frame.rsv),
        "key": None if frame.key is None else frame.key.hex(" "),
        "header": frame.header.hex(" "),
        "length": frame.length,
        "payload": frame.payload.hex(" "),
        "inflated": frame.inflated is not None,
    }
    if frame.opcode == Opcode.CLOSE and frame.length >= 2:
        report["code"] = int.from_bytes(frame.payload[:2], "big")
        octets = octets[2:]
        is_text = True
    if is_text:
        report["text"] = octets.decode("utf-8", "replace")
    return report
