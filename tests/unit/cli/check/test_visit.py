"""Whole checks: of a server without a fault, and of one for each fault that has a line."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import replace
from typing import ClassVar

import pytest

from duologue.cli.check.findings import Finding, Report, Verdict
from duologue.cli.check.plan import Plan
from duologue.cli.check.visit import check
from duologue.uri import parse_uri

from .faulty import CLOSE, PING, PONG, TEXT, Faulty, serving

PATIENCE = 0.6


def plan_for(url: str, **options) -> Plan:
    return Plan(url, parse_uri(url), patience=PATIENCE, **options)


async def examine(faulty: Faulty, **options) -> Report:
    async with serving(faulty) as url:
        report = Report(url)
        await check(plan_for(url, **options), report)
    return report


def line(report: Report, step: str) -> Finding:
    found = [finding for finding in report.findings if finding.step == step]
    assert found, f"no line for {step}"
    return found[-1]


def problems(report: Report) -> list[str]:
    return [each.step for each in report.findings if each.verdict is Verdict.PROBLEM]


class TestWithoutFault:
    async def test_every_step_has_its_line(self):
        report = await examine(Faulty(), idle=0.1)
        assert problems(report) == []
        assert [finding.step for finding in report.findings] == [
            "dns",
            "tcp",
            "tls",
            "handshake",
            "subprotocol",
            "extensions",
            "ping",
            "rtt",
            "pong",
            "echo",
            "compression",
            "fragments",
            "message size",
            "close",
            "tcp end",
            "origin",
            "http",
            "idle",
            "frames",
        ]
        assert report.exit_code == 0

    async def test_what_is_measured_has_a_time(self):
        report = await examine(Faulty())
        for step in ("dns", "tcp", "handshake", "rtt", "echo", "close"):
            seconds = line(report, step).seconds
            assert seconds is not None and 0 < seconds < PATIENCE, step

    async def test_what_was_sent_is_counted(self):
        faulty = Faulty()
        report = await examine(faulty)
        sent = report.sent
        assert sent.handshakes + sent.requests == len(faulty.requests)
        assert sent.pings == sum(opcode == PING for opcode, _ in faulty.frames)
        assert sent.pongs == sum(opcode == PONG for opcode, _ in faulty.frames) == 1
        octets = sum(len(data) for opcode, data in faulty.frames if opcode in (0, TEXT))
        assert sent.message_octets == octets
        assert sent.messages == sum(opcode == TEXT for opcode, _ in faulty.frames)
        assert sent.connections <= 10

    async def test_no_messages_sends_none(self):
        faulty = Faulty()
        report = await examine(faulty, messages=False)
        assert report.sent.messages == 0
        assert {opcode for opcode, _ in faulty.frames} == {PING, PONG, CLOSE}
        assert all(finding.step != "echo" for finding in report.findings)

    async def test_pings(self):
        faulty = Faulty()
        await examine(faulty, pings=9, messages=False)
        assert sum(opcode == PING for opcode, _ in faulty.frames) == 9 + 1

    async def test_every_message_says_where_it_comes_from(self):
        faulty = Faulty()
        await examine(faulty)
        texts = [data for opcode, data in faulty.frames if opcode == TEXT]
        assert all(text.startswith(b"duologue check") for text in texts)
        assert all(b"duologue" in request for request in faulty.requests)


class WrongAccept(Faulty):
    def accept(self, key):
        return b"AAAAAAAAAAAAAAAAAAAAAAAAAAA="


class Switches(Faulty):
    answer = b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"

    async def handshake(self, head):
        if b"sec-websocket-key" not in head.lower():
            return await super().handshake(head)
        self.write(self.answer)
        return True


class NoConnectionHeader(Switches):
    answer = b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\n\r\n"


class UnofferedExtension(Faulty):
    headers = b"Sec-WebSocket-Extensions: x-unheard-of\r\n"


class Page(Faulty):
    async def handshake(self, head):
        self.write(b"HTTP/1.1 200 OK\r\nServer: nginx/1.26\r\nContent-Length: 5\r\n\r\nhello")
        return False


class EndlessPage(Faulty):
    async def handshake(self, head):
        self.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"tick\n" * 10)
        await asyncio.sleep(30)
        return False


class NotHttp(Faulty):
    async def handshake(self, head):
        self.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        await asyncio.sleep(30)
        return False


class SpeaksTls(Faulty):
    async def handshake(self, head):
        self.write(b"\x15\x03\x01\x00\x02\x02\x46")
        return False


class Silent(Faulty):
    async def handshake(self, head):
        await asyncio.sleep(30)
        return False


class HangsUp(Faulty):
    async def handshake(self, head):
        return False


class Refuses(Faulty):
    answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"

    async def handshake(self, head):
        self.write(self.answer)
        return False


class Redirects(Refuses):
    answer = b"HTTP/1.1 301 Moved\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"


class Unavailable(Refuses):
    answer = (
        b"HTTP/1.0 503 Service Unavailable\r\n\r\n"
        b"<html><body><h1>503 Service Unavailable</h1>\nNo server.\n</body></html>\n"
    )


class HeadTooLong(Refuses):
    answer = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\n\r\n"


class WantsPassword(Refuses):
    answer = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"


class Masks(Faulty):
    mask = True


class SetsReservedBit(Faulty):
    rsv = 2


class NeverPongs(Faulty):
    async def ping(self, payload):
        pass


class PongsWrong(Faulty):
    async def ping(self, payload):
        self.frame(PONG, payload[::-1] + b"!")


class HatesPongs(Faulty):
    def pong(self, payload):
        self.frame(CLOSE, (1002).to_bytes(2))
        self._writer.close()


class HatesFragments(Faulty):
    def fragment(self):
        self.frame(CLOSE, (1003).to_bytes(2))
        self._writer.close()


class ChangesFragments(Faulty):
    def message(self, kind, payload):
        self.frame(kind, payload.replace(b"\xc3\xa9", b"?"))


class IgnoresClose(Faulty):
    async def close(self, payload):
        await asyncio.sleep(30)


class HangsUpOnClose(Faulty):
    async def close(self, payload):
        pass


class KeepsTcp(Faulty):
    async def close(self, payload):
        self.frame(CLOSE, payload[:2])
        await asyncio.sleep(30)


class TooBigForSilence(Faulty):
    limit = 5000

    def too_big(self):
        self._writer.transport.abort()


class ForgetsLongMessages(Faulty):
    def message(self, kind, payload):
        if len(payload) <= 20_000:
            self.frame(kind, payload)


class CutsIdle(Faulty):
    idle = 0.5


class SwitchesAlways(Faulty):
    async def handshake(self, head):
        if b"sec-websocket-key" in head.lower():
            return await super().handshake(head)
        self.write(b"HTTP/1.1 101 Why Not\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        return True


@pytest.mark.parametrize(
    ("faulty", "step", "words"),
    [
        (WrongAccept, "handshake", "not to our request"),
        (Switches, "handshake", "Sec-WebSocket-Accept"),
        (NoConnectionHeader, "handshake", "Connection header"),
        (UnofferedExtension, "handshake", "extension not offered: x-unheard-of"),
        (Page, "handshake", "the same as for a plain GET: Upgrade and Connection don't reach"),
        (EndlessPage, "handshake", "HTTP 200 OK: tick"),
        (NotHttp, "handshake", "did not answer in HTTP: b'SSH-2.0"),
        (SpeaksTls, "handshake", "use wss instead of ws"),
        (Silent, "handshake", "no answer within 0.6 s"),
        (HangsUp, "handshake", "ended TCP without an answer"),
        (Refuses, "handshake", "HTTP 403 Forbidden; it may want a certain Origin"),
        (Redirects, "handshake", "redirects to /there"),
        (Unavailable, "handshake", "what is behind it doesn't"),
        (HeadTooLong, "handshake", "head is too long"),
        (WantsPassword, "handshake", "--auth USER:PASSWORD"),
        (Masks, "frames", "mask"),
        (SetsReservedBit, "frames", "reserved"),
        (NeverPongs, "ping", "no pong within 0.6 s"),
        (PongsWrong, "ping", "another payload"),
        (HatesPongs, "pong", "is not ignored: the server closed with 1002"),
        (HatesFragments, "fragments", "closed with 1003"),
        (ChangesFragments, "fragments", "comes back as"),
        (IgnoresClose, "close", "isn't answered within 0.6 s"),
        (HangsUpOnClose, "close", "without a Close frame"),
        (KeepsTcp, "tcp end", "doesn't end TCP within 0.6 s"),
        (TooBigForSilence, "message size", "should close with 1009"),
        (ForgetsLongMessages, "message size", "no answer within 0."),
        (CutsIdle, "idle", "cut after 0."),
        (SwitchesAlways, "http", "asked for no upgrade"),
    ],
)
async def test_a_fault_is_found_by_its_line(faulty, step, words):
    idle = 1.5 if step == "idle" else None
    report = await examine(faulty(), idle=idle)
    finding = line(report, step)
    assert finding.verdict is Verdict.PROBLEM
    assert words in finding.text
    assert problems(report) == [step]
    assert report.exit_code == 1


class Binary(Faulty):
    def message(self, kind, payload):
        self.frame(2, payload)


class Mute(Faulty):
    def message(self, kind, payload):
        pass


class Talkative(Faulty):
    def message(self, kind, payload):
        self.frame(TEXT, b"you said something")


class Unfriendly(Faulty):
    def message(self, kind, payload):
        self.frame(CLOSE, (1008).to_bytes(2) + b"no")
        self._writer.close()


class OtherCode(Faulty):
    async def close(self, payload):
        self.frame(CLOSE, (1001).to_bytes(2))


class LateToPong(Faulty):
    """Answers a ping between fragments only after the message."""

    def __init__(self):
        super().__init__()
        self.late = None
        self.fragments = 0

    def fragment(self):
        self.fragments += 1

    async def ping(self, payload):
        if self.fragments:
            self.late = payload
        else:
            self.frame(PONG, payload)

    def message(self, kind, payload):
        self.frame(kind, payload)
        if self.late:
            self.frame(PONG, self.late)


class SmallLimit(Faulty):
    limit = 3000


class AgreesToAnything(Faulty):
    async def handshake(self, head):
        self.headers = b""
        for text in head.split(b"\r\n"):
            if text.lower().startswith(b"sec-websocket-protocol: "):
                self.headers = b"Sec-WebSocket-Protocol: " + text.split(b": ")[1] + b"\r\n"
        return await super().handshake(head)


@pytest.mark.parametrize(
    ("faulty", "step", "words"),
    [
        (Binary, "echo", "as a binary message"),
        (Mute, "echo", "it doesn't echo; what needs an echo is left out"),
        (Talkative, "echo", "what came instead begins with b'you said"),
        (Unfriendly, "echo", "closed with 1008"),
        (OtherCode, "close", "1000 is answered with 1001"),
        (LateToPong, "fragments", "not answered before the message is complete"),
        (SmallLimit, "message size", "the longest message accepted has 3,000 bytes"),
        (AgreesToAnything, "subprotocol", "it agrees to any"),
        (Faulty, "origin", "cross-site WebSocket hijacking"),
    ],
)
async def test_what_may_be_wanted_is_a_note(faulty, step, words):
    report = await examine(faulty())
    finding = line(report, step)
    assert finding.verdict is Verdict.NOTE
    assert words in finding.text
    assert problems(report) == []
    assert report.exit_code == 0


async def test_people_are_spared():
    """What is said to all is no echo: one short text is all that the others get to see."""

    class Room(Faulty):
        everybody: ClassVar[list[Faulty]] = []

        async def frames_of(self, reader):
            self.everybody.append(self)
            try:
                await super().frames_of(reader)
            finally:
                self.everybody.remove(self)

        def message(self, kind, payload):
            for one in self.everybody:
                one.frame(kind, payload)

    faulty = Room()
    report = await examine(faulty)
    assert problems(report) == []
    assert "a text goes to other connections too" in line(report, "echo").text
    assert [len(data) for opcode, data in faulty.frames if opcode == TEXT] == [27]


async def test_what_a_server_says_besides_is_no_answer():
    class Greets(Faulty):
        async def frames_of(self, reader):
            self.frame(TEXT, b"Request served by me")
            await super().frames_of(reader)

        def message(self, kind, payload):
            self.frame(TEXT, b"about to answer")
            super().message(kind, payload)

    report = await examine(Greets())
    assert problems(report) == []
    for step in ("echo", "compression", "fragments", "message size"):
        assert line(report, step).verdict is Verdict.OK


async def test_a_message_that_is_too_long_for_us_is_no_fault_of_the_server():
    class Long(Faulty):
        def message(self, kind, payload):
            self.frame(kind, bytes(0x20 for _ in range(2_000_000)))

    report = await examine(Long(), max_message=2000)
    assert problems(report) == []
    assert "too long for a check" in line(report, "echo").text
    assert line(report, "echo").verdict is Verdict.NOTE


class TestSubprotocols:
    async def test_an_offer_that_is_taken(self):
        report = await examine(AgreesToAnything(), subprotocols=("chat.v2",))
        assert line(report, "subprotocol").details == {"chosen": "chat.v2"}

    async def test_an_offer_that_is_not_taken_is_a_problem(self):
        report = await examine(Faulty(), subprotocols=("chat.v2", "chat.v1"))
        assert line(report, "subprotocol").verdict is Verdict.PROBLEM
        assert "none of chat.v2, chat.v1 was chosen" in line(report, "subprotocol").text


class TestOrigin:
    async def test_ours_is_sent_and_a_foreign_one_refused(self):
        class Careful(Faulty):
            async def handshake(self, head):
                if b"upgrade:" in head.lower() and b"Origin: https://us.example" not in head:
                    self.write(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
                    return False
                return await super().handshake(head)

        report = await examine(Careful(), origin="https://us.example")
        assert problems(report) == []
        assert line(report, "origin").verdict is Verdict.OK
        assert "refused with 403" in line(report, "origin").text


class TestSizes:
    @pytest.mark.parametrize("limit", [1024, 5000, 65536, 100_000])
    async def test_the_limit_is_found(self, limit):
        class Limited(Faulty):
            pass

        Limited.limit = limit
        faulty = Limited()
        report = await examine(faulty, max_message=200_000)
        details = line(report, "message size").details
        assert details["code"] == 1009
        assert details["accepted"] <= limit < details["refused"]
        assert details["refused"] - details["accepted"] <= limit // 16 + 1
        assert max(len(data) for _, data in faulty.frames) <= 200_000

    async def test_the_option_bounds_it(self):
        faulty = Faulty()
        report = await examine(faulty, max_message=3000)
        assert line(report, "message size").details == {"accepted": 3000, "refused": None}
        assert max(len(data) for opcode, data in faulty.frames if opcode == TEXT) <= 4096

    async def test_a_slow_line_is_no_limit(self):
        """A second for 16 KiB: more than patience allows, but in keeping with shorter messages."""

        class Slow(Faulty):
            def message(self, kind, payload):
                later = len(payload) / 16384 if len(payload) > 1000 else 0
                asyncio.get_running_loop().call_later(later, self.frame, kind, payload)

        report = await examine(Slow(), max_message=16384)
        assert line(report, "message size").details == {"accepted": 16384, "refused": None}
        assert problems(report) == []


class TestIdle:
    async def test_pings_of_the_server_are_seen(self):
        class Pinging(Faulty):
            async def frames_of(self, reader):
                async def ping():
                    while True:
                        await asyncio.sleep(0.1)
                        self.frame(PING, b"")

                task = asyncio.create_task(ping())
                try:
                    await super().frames_of(reader)
                finally:
                    task.cancel()

        report = await examine(Pinging(), idle=0.8)
        finding = line(report, "idle")
        assert finding.verdict is Verdict.OK
        assert finding.details["pings"] >= 3
        assert re.search(r"with a ping from the server every 0\.\d s", finding.text)

    async def test_a_connection_that_is_dead_without_saying_so(self):
        class Forgets(Faulty):
            async def frames_of(self, reader):
                self.until = time.monotonic() + 0.3
                await super().frames_of(reader)

            async def ping(self, payload):
                if time.monotonic() < self.until:
                    await super().ping(payload)

        report = await examine(Forgets(), idle=0.4)
        assert "nothing comes back, though nobody ended TCP" in line(report, "idle").text
        assert line(report, "idle").verdict is Verdict.PROBLEM

    async def test_a_close_code_is_told(self):
        class Closes(Faulty):
            async def frames_of(self, reader):
                try:
                    async with asyncio.timeout(0.3):
                        await super().frames_of(reader)
                except TimeoutError:
                    self.frame(CLOSE, (1001).to_bytes(2) + b"too quiet")

        report = await examine(Closes(), idle=2.0, messages=False)
        finding = line(report, "idle")
        assert "the server closed with 1001 (going away) too quiet" in finding.text
        assert finding.details["code"] == 1001


class TestReaching:
    async def test_nobody_listens(self):
        async with serving(Faulty()) as url:
            pass
        report = Report(url)
        await check(plan_for(url), report)
        assert problems(report) == ["tcp"]
        assert "Connection refused" in line(report, "tcp").text

    async def test_a_name_that_is_none(self):
        report = Report("")
        await check(plan_for("ws://no.such.host.invalid/"), report)
        assert problems(report) == ["dns"]

    async def test_patience_bounds_every_wait(self):
        before = time.monotonic()
        await examine(Silent())
        assert time.monotonic() - before < 4 * PATIENCE

    async def test_connections_are_bounded(self, monkeypatch):
        monkeypatch.setattr("duologue.cli.check.reach.MAX_CONNECTIONS", 4)
        report = await examine(Faulty())
        assert report.sent.connections == 4
        assert "given up: a check makes at most 4 connections" in report.findings[-1].text

    async def test_headers_go_with_every_request(self):
        faulty = Faulty()
        await examine(faulty, headers=(("X-Key", "swordfish"),))
        assert all(b"X-Key: swordfish" in request for request in faulty.requests)


def test_a_plan_without_tls_verifies_nothing():
    assert not replace(plan_for("ws://localhost/"), tls=None).verified
