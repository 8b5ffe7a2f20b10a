"""The inspector: shows a visitor the octets of the visitor's own connections.

An inspector page opens ``/inspect``, the watch, and is given a token. It then opens up to
:data:`~.bounds.MAX_SUBJECTS` connections to ``/inspected?token=…``, the subjects, which echo.
What passes on these, octet for octet, is reported on the watch: first both heads of the handshake,
then each frame of both directions. Two connections are needed, since a report on the connection
that it is about would have to report itself.

The page may also ask, on the watch, for something to be sent on its subjects: ``{"do":"push"}``,
``"ping"``, ``"fragments"``, ``"lengths"``, ``"binary"`` or ``"close"``.

Each of these connections may be served by another worker, so they meet in topics:

=========================  =========================================================================
topic                      what is published, or who is subscribed
=========================  =========================================================================
``watch/TOKEN``            the watch is subscribed: that it is there is all that this is for
``watch/TOKEN/reports``    reports, for the worker that serves the watch
``watch/TOKEN/subjects``   the subjects are subscribed, to be counted
``watch/TOKEN/numbers``    each subject takes a position for its number
``wishes``                 what pages ask for, for all workers
=========================  =========================================================================

Nobody sees another's connection: a token can't be guessed, and is forgotten with its watch. It must
never hold a connection up: reports that the page doesn't take are counted and dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from duologue.app.application import App
from duologue.app.errors import HTTPError
from duologue.app.guard import UpgradeRequest
from duologue.asyncio.server import ServerConnection
from duologue.exceptions import BackplaneError, ConnectionClosed
from duologue.frames import Opcode
from duologue.frontends.demo import bounds
from duologue.frontends.demo.commands import BadCommand, encode, parse, text
from duologue.frontends.demo.connection import DemoConnection
from duologue.frontends.demo.sight import FrameReader, Sighting

__all__ = ["InspectedConnection", "Inspector"]

WISHES = "wishes"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)
_NAMES = {int(each): each.name.lower() for each in Opcode} | {0: "continuation"}


class _Watch:
    """One inspector page, and its reports."""

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(16)
        self.reports: asyncio.Queue[dict[str, Any]] = asyncio.Queue(bounds.MAX_REPORTS)
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

    def __init__(self, app: App, token: str, number: int) -> None:
        self.token = token
        self._app = app
        self._number = number
        self._wishes: asyncio.Queue[str] = asyncio.Queue(bounds.MAX_WISHES)
        self._began = time.monotonic()
        self._frames = 0
        self._readers = {"received": FrameReader(), "sent": FrameReader()}

    def _report(self, **report: Any) -> None:
        after = round(time.monotonic() - self._began, 4)
        told = encode({"connection": self._number, "after": after, **report})
        self._app.publish(_reports(self.token), told)

    def wish(self, what: str) -> None:
        try:
            self._wishes.put_nowait(what)
        except asyncio.QueueFull:
            most = f"{bounds.MAX_WISHES} wishes wait for this connection, which is the most"
            self._report(error=most)

    async def grant(self) -> None:
        """Do what was asked for, in order."""
        while True:
            await _WISHES[await self._wishes.get()](self.connection)

    # -- the tap

    def heads(self, request: bytes, response: bytes) -> None:
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
    """The service behind the inspector's page.

    Args:
        app: Whose topics it uses; it has to enter :meth:`running`.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._watches = 0
        self._subjects: set[_Subject] = set()
        self._arriving: Counter[str] = Counter()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Hears what pages of any worker ask for, while this lasts."""
        subscription = self._app.subscribe(WISHES, lambda _, told: self._wished(**json.loads(told)))
        try:
            yield
        finally:
            subscription.close()

    def _wished(self, token: str, what: str) -> None:
        for subject in self._subjects:
            if subject.token == token:
                subject.wish(what)

    # -- the watch

    async def watch(self, websocket: ServerConnection) -> None:
        """Serves one inspector page until it ends.

        Args:
            websocket: The connection for the reports.
        """
        websocket.max_message_size = bounds.MAX_COMMAND
        if self._watches >= bounds.MAX_WATCHES:
            await websocket.close(1013, f"{bounds.MAX_WATCHES} inspectors are open, the most")
            return
        watch = _Watch()
        self._watches += 1
        subscription = self._app.subscribe(
            _reports(watch.token), lambda _, told: watch.report(json.loads(told))
        )
        reporting = asyncio.create_task(_pass_on(watch, websocket))
        try:
            websocket.subscribe(_watch(watch.token))
            about = {"frames": bounds.MAX_FRAMES, "shown": bounds.PREVIEW}
            watch.report({"token": watch.token, **about})
            async for message in websocket:
                self._obey(watch, message)
        except ConnectionClosed:
            pass
        finally:
            self._watches -= 1
            subscription.close()
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)

    def _obey(self, watch: _Watch, message: str | bytes) -> None:
        try:
            wish = text(parse(message), "do")
            if wish not in _WISHES:
                raise BadCommand(f"do must be one of {', '.join(_WISHES)}")
        except BadCommand as error:
            watch.report({"error": str(error)})
        else:
            self._app.publish(WISHES, encode({"token": watch.token, "what": wish}))

    # -- the subjects

    async def admit(self, request: UpgradeRequest) -> None:
        """Accepts a connection that is to be inspected, with a tap on it.

        Args:
            request: Its request, with the token in the query.

        Raises:
            HTTPError: If it must not open.
        """
        token = request.query_params.get("token", "")
        with self._counting(token):
            try:
                await self._check(token)
                number = await self._app.publish(f"{_watch(token)}/numbers", "")
            except BackplaneError as error:
                raise HTTPError(503, "The workers can't reach each other.") from error
            subject = _Subject(self._app, token, number)
            websocket = await request.accept(user_data=subject)
            with contextlib.suppress(ConnectionClosed):
                websocket.subscribe(_subjects(token))

    @contextlib.contextmanager
    def _counting(self, token: str) -> Iterator[None]:
        """Count a subject that isn't open yet; those of other workers are missed meanwhile."""
        self._arriving[token] += 1
        try:
            yield
        finally:
            self._arriving[token] -= 1
            if not self._arriving[token]:
                del self._arriving[token]

    async def _check(self, token: str) -> None:
        if not _TOKEN.fullmatch(token) or not await self._app.subscribers(_watch(token)):
            raise HTTPError(403, "There is no such inspector: open /inspector in a browser.")
        there = await self._app.subscribers(_subjects(token))
        if there + self._arriving[token] > bounds.MAX_SUBJECTS:
            most = f"{bounds.MAX_SUBJECTS} connections are inspected already, the most at once."
            raise HTTPError(403, most)

    async def subject(self, websocket: ServerConnection) -> None:
        """Echoes on an inspected connection until it ends.

        Args:
            websocket: The connection.
        """
        websocket.max_message_size = bounds.MAX_INSPECTED
        subject: _Subject = websocket.user_data
        self._subjects.add(subject)
        granting = asyncio.create_task(subject.grant())
        try:
            async for message in websocket:
                await websocket.send(message)
        except ConnectionClosed:
            pass
        finally:
            self._subjects.discard(subject)
            granting.cancel()
            await asyncio.gather(granting, return_exceptions=True)


def _watch(token: str) -> str:
    return f"watch/{token}"


def _reports(token: str) -> str:
    return f"watch/{token}/reports"


def _subjects(token: str) -> str:
    return f"watch/{token}/subjects"


async def _pass_on(watch: _Watch, websocket: ServerConnection) -> None:
    while True:
        await websocket.send(encode(await watch.reports.get()))


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
