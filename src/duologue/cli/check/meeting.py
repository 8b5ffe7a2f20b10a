"""Whether the endpoint opens a WebSocket, to whom, and what it agrees to.

Steps: the opening handshake, subprotocols, extensions, a foreign Origin, plain HTTP on the URL.
"""

from __future__ import annotations

from typing import Any

from duologue.base.exceptions import (
    InvalidStatus,
    ProxyError,
)
from duologue.base.types import Origin, Subprotocol
from duologue.cli import explain
from duologue.cli.check.answers import discard, read_answer
from duologue.cli.check.events import HandshakeFailed
from duologue.cli.check.findings import Finding, Report, Stopwatch, Verdict
from duologue.cli.check.plan import Plan
from duologue.cli.check.reach import Reach
from duologue.cli.check.refusals import compared, invalid, reason, refused, software
from duologue.cli.check.talk import Talk
from duologue.wire.grammar import build_authorization_basic, build_host
from duologue.wire.headers import Headers
from duologue.wire.http11 import USER_AGENT, Request, Response
from duologue.wire.permessage_deflate import ClientPerMessageDeflateFactory

__all__ = ["FOREIGN_ORIGIN", "UNKNOWN_SUBPROTOCOL", "Meeting"]

FOREIGN_ORIGIN = Origin("https://duologue-check.invalid")
"""An origin that no endpoint can know (RFC 2606 reserves the domain)."""

UNKNOWN_SUBPROTOCOL = Subprotocol("check.duologue.invalid")
"""A subprotocol that no endpoint can speak."""

_TELLING = ("Server", "Via", "Location", "Retry-After", "WWW-Authenticate", "Allow")


class Meeting:
    """The steps up to an open connection, and those that only need one to be opened.

    Args:
        plan: What is checked.
        report: Where findings go.
        reach: The way to the endpoint.
    """

    def __init__(self, plan: Plan, report: Report, reach: Reach) -> None:
        self._plan = plan
        self._report = report
        self._reach = reach

    async def talk(self, *, plain: bool = False) -> Talk:
        """Opens a connection; without looking at what it is like.

        Args:
            plain: Whether to leave out the offer of compression.

        Raises:
            HandshakeFailed: If the server doesn't open a WebSocket.
            OSError: If there is no connection.
        """
        return await self._open(self._plan.origin, self._plan.subprotocols, plain=plain)

    async def _open(
        self,
        origin: Origin | None,
        subprotocols: tuple[Subprotocol, ...],
        *,
        plain: bool = False,
    ) -> Talk:
        streams = await self._reach.streams()
        talk = Talk(
            streams,
            self._plan,
            self._report.sent,
            origin=origin,
            extensions=None if plain else [ClientPerMessageDeflateFactory()],
            subprotocols=subprotocols or None,
        )
        try:
            await talk.open()
        except BaseException:
            await discard(streams[1])
            raise
        return talk

    # -- steps

    async def handshake(self) -> Talk | None:
        """Looks at the opening handshake, and at what it agreed to; returns the connection."""
        watch = Stopwatch()
        try:
            talk = await self.talk()
        except HandshakeFailed as error:
            await self._explain(error)
            return None
        except (OSError, ProxyError) as error:
            self._report.problem("handshake", explain.reason(error), watch.seconds)
            return None
        assert talk.response is not None
        self._note_software(talk.response)
        self._report.ok(
            "handshake",
            f"101{_telling(talk.response.headers)}",
            talk.seconds,
            status=101,
            headers=list(talk.response.headers.raw_items()),
        )
        await self._subprotocol(talk)
        self._extensions(talk)
        return talk

    async def _subprotocol(self, talk: Talk) -> None:
        chosen, offered = talk.protocol.subprotocol, self._plan.subprotocols
        if chosen is not None:
            self._report.ok("subprotocol", f"{chosen} was chosen", chosen=chosen)
        elif offered:
            text = f"none of {', '.join(offered)} was chosen: browsers then fail the connection"
            self._report.problem("subprotocol", text, chosen=None)
        else:
            await self._unknown_subprotocol()

    async def _unknown_subprotocol(self) -> None:
        """Offers a subprotocol that nobody speaks: some servers agree to anything."""
        watch = Stopwatch()
        try:
            talk = await self._open(self._plan.origin, (UNKNOWN_SUBPROTOCOL,))
        except HandshakeFailed as error:
            status = "" if error.response is None else f" with {error.response.status_code}"
            text = f"one it doesn't know is refused{status}; none was chosen without an offer"
            self._report.ok("subprotocol", text, watch.seconds, chosen=None)
            return
        except (OSError, ProxyError) as error:
            self._report.note("subprotocol", explain.reason(error), watch.seconds)
            return
        agreed = talk.protocol.subprotocol
        if agreed is None:
            text = "none was chosen; one it doesn't know is ignored"
            self._report.ok("subprotocol", text, talk.seconds, chosen=None)
        else:
            text = f"it agrees to any: {agreed} can't be known to it"
            self._report.note("subprotocol", text, talk.seconds, chosen=agreed)
        await talk.leave()

    def _extensions(self, talk: Talk) -> None:
        assert talk.response is not None
        agreed = ", ".join(talk.response.headers.get_all("Sec-WebSocket-Extensions"))
        if talk.protocol.extensions:
            text = f"{agreed} (permessage-deflate was offered)"
            self._report.ok("extensions", text, agreed=agreed)
        else:
            text = "permessage-deflate was offered and not accepted"
            self._report.ok("extensions", text, agreed=None)

    async def foreign_origin(self) -> None:
        """Connects as a page of some other site would."""
        watch = Stopwatch()
        try:
            talk = await self._open(FOREIGN_ORIGIN, self._plan.subprotocols)
        except HandshakeFailed as error:
            status = None if error.response is None else error.response.status_code
            shown = f"refused with {status}" if status else f"not let in: {error}"
            text = f"a page from elsewhere ({FOREIGN_ORIGIN}) is {shown}"
            self._report.ok("origin", text, error.seconds, accepted=False, status=status)
            return
        except (OSError, ProxyError) as error:
            self._report.note("origin", explain.reason(error), watch.seconds)
            return
        await talk.leave()
        self._report.note(
            "origin",
            f"a page from elsewhere ({FOREIGN_ORIGIN}) may connect: if visitors are known by "
            "cookies, any site can act for them (cross-site WebSocket hijacking)",
            talk.seconds,
            topics=("origin",),
            accepted=True,
        )

    async def plain_http(self) -> None:
        """Asks for the URL without an upgrade, after a handshake has succeeded."""
        _, finding = await self._plain_http(opened=True)
        self._report.add(finding)

    async def _plain_http(self, *, opened: bool) -> tuple[Response | None, Finding]:
        """Asks for the URL without an upgrade; returns the answer and what to say of it.

        Args:
            opened: Whether a handshake has succeeded.
        """
        watch = Stopwatch()
        try:
            response, octets = await self._get()
        except (OSError, EOFError, ProxyError) as error:
            text = f"a plain GET fails: {reason(error)}"
            return None, _about_http(Verdict.NOTE, text, watch)
        if response is None:
            verdict = Verdict.PROBLEM if opened else Verdict.NOTE
            text = f"a plain GET isn't answered in HTTP: {octets[:40]!r}"
            return None, _about_http(verdict, text, watch)
        self._note_software(response)
        status, verdict = response.status_code, Verdict.OK
        text = f"a plain GET is answered with {status} {response.reason_phrase}".rstrip()
        if status == 101:
            verdict, text = Verdict.PROBLEM, f"{text}, though it asked for no upgrade"
        elif status >= 500 and opened:
            verdict = Verdict.NOTE
        return response, _about_http(verdict, text, watch, status)

    async def _get(self) -> tuple[Response | None, bytes]:
        uri = self._plan.uri
        ours = {
            "Host": build_host(uri.host, uri.port, uri.secure),
            "User-Agent": f"{USER_AGENT} check",
            "Accept": "*/*",
            "Connection": "close",
        }
        if uri.user_info is not None:
            ours["Authorization"] = build_authorization_basic(*uri.user_info)
        headers = Headers(self._plan.headers)
        for name, value in ours.items():
            if name not in headers:
                headers[name] = value
        reader, writer = await self._reach.streams()
        try:
            self._report.sent.requests += 1
            writer.write(Request(uri.resource_name, headers).serialize())
            return await read_answer(reader, self._plan.patience)
        finally:
            await discard(writer)

    # -- why a handshake fails

    async def _explain(self, error: HandshakeFailed) -> None:
        """Finds words, and a plain GET to compare with, for a handshake that failed."""
        cause, response = error.__cause__, error.response
        if response is not None:
            self._note_software(response)
        plain, about_plain = await self._plain_http(opened=False)
        details: dict[str, Any] = {"status": None}
        if response is not None:
            details["status"] = response.status_code
            details["headers"] = list(response.headers.raw_items())
        if response is None or response.status_code == 101:
            text, topics = invalid(cause, error.octets)
        else:
            assert isinstance(cause, InvalidStatus)
            why, topics = refused(response)
            same = compared(response, plain)
            if same:
                why, topics = why + same, ("upgrade",)
            text = explain.reason(cause) + why
        self._report.problem("handshake", text, error.seconds, topics=topics, **details)
        self._report.add(about_plain)

    def _note_software(self, response: Response) -> None:
        self._report.software = software(response) or self._report.software


def _about_http(
    verdict: Verdict, text: str, watch: Stopwatch, status: int | None = None
) -> Finding:
    return Finding("http", verdict, text, watch.seconds, (), {"status": status})


def _telling(headers: Headers) -> str:
    found = [(name, headers.get_all(name)) for name in _TELLING]
    return "".join(f"; {name}: {', '.join(values)}" for name, values in found if values)
