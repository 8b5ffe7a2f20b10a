"""What an open connection can do: pings, an echo, compression, fragments, its end, its silence.

Each step is a coroutine that takes a connection, adds its line and tells whether there was no
problem. If there was one, answers may still be on their way, and the connection is of no further
use. It lets :class:`Ended` pass if the connection ends where it shouldn't; who runs the steps says
so.
"""

from __future__ import annotations

import os
import statistics
import time

from duologue.cli.check.events import End, Ended
from duologue.cli.check.findings import Report, Stopwatch
from duologue.cli.check.plan import Plan
from duologue.cli.check.talk import Talk

__all__ = ["close", "compression", "echo", "fragmentation", "idle", "ping", "unasked_pong"]

# Every message says where it comes from, for whoever reads the server's log.
_MARK = b"duologue check "
_COMPRESSIBLE = 4096
# A server that ends TCP within this is taken to have done it at once.
_PROMPT = 1.0
# Seconds after an echo in which it would have arrived elsewhere too.
_EARSHOT = 0.2


async def ping(talk: Talk, plan: Plan, report: Report) -> bool:
    """Times pings; each must be answered with its own payload (RFC 6455 section 5.5.3)."""
    times: list[float] = []
    for _ in range(plan.pings):
        payload = os.urandom(8)
        watch = Stopwatch()
        start = time.perf_counter()
        talk.ping(payload)
        pong = await talk.until(lambda event: event.kind == "pong", plan.patience)
        if pong is None:
            text = f"no pong within {plan.patience:g} s"
            return report.problem("ping", text, watch.seconds, answered=len(times))
        if pong.data != payload:
            text = f"answered with another payload: {pong.data[:16]!r} to {payload!r}"
            return report.problem("ping", text, watch.seconds, answered=len(times))
        times.append(pong.at - start)
    least, middle, most = min(times), statistics.median(times), max(times)
    report.ok("ping", f"{len(times)} answered, each with its payload", sum(times))
    text = f"round trip {_ms(least)} at least, {_ms(middle)} median, {_ms(most)} at most"
    return report.ok("rtt", text, middle, minimum=least, median=middle, maximum=most)


async def unasked_pong(talk: Talk, plan: Plan, report: Report) -> bool:
    """Sends a pong that nobody asked for, which must be ignored (RFC 6455 section 5.5.3)."""
    watch = Stopwatch()
    talk.pong(b"unasked")
    payload = os.urandom(8)
    talk.ping(payload)
    try:
        pong = await talk.until(
            lambda event: event.kind == "pong" and event.data == payload, plan.patience
        )
    except Ended as error:
        if error.end.of_no_step:
            raise
        return report.problem("pong", f"an unasked pong is not ignored: {error}", watch.seconds)
    if pong is None:
        return report.problem("pong", "after an unasked pong it answers no ping", watch.seconds)
    return report.ok("pong", "an unasked pong is ignored", watch.seconds)


async def echo(talk: Talk, witness: Talk, plan: Plan, report: Report) -> bool:
    """Sends one short text; tells whether it comes back, and to nobody else.

    Args:
        talk: Where it is sent.
        witness: Another connection. If the text arrives there too, there may be people who read it:
            they are to be spared the messages that an echo gets.
        plan: What is checked.
        report: Where the finding goes.
    """
    payload = _MARK + os.urandom(6).hex().encode()
    watch = Stopwatch()
    talk.text(payload)
    try:
        back, other = await talk.echo_of(payload, plan.patience)
    except Ended as error:
        if error.end.of_no_step:
            raise
        report.note("echo", f"after a text it didn't expect: {error}", watch.seconds, echoes=False)
        return False
    seconds = watch.seconds
    if back is None:
        said = "" if other is None else f"; what came instead begins with {other[:30]!r}"
        text = f"it doesn't echo{said}; what needs an echo is left out"
        report.note("echo", text, None, echoes=False)
        return False
    if await _hears(witness, payload, plan):
        text = "a text goes to other connections too; they are spared what needs an echo"
        report.note("echo", text, seconds, echoes=False)
        return False
    if back.kind == "binary":
        text = "a text comes back as a binary message"
        return report.note("echo", text, seconds, echoes=True, kind="binary")
    return report.ok("echo", "a text comes back unchanged", seconds, echoes=True)


async def _hears(witness: Talk, payload: bytes, plan: Plan) -> bool:
    try:
        heard, _ = await witness.echo_of(payload, min(plan.patience, _EARSHOT))
    except Ended:
        return False
    return heard is not None


async def compression(talk: Talk, plan: Plan, report: Report) -> bool:
    """Sends a compressed message, which must come back the same."""
    if not talk.protocol.extensions:
        return report.ok("compression", "not agreed on, so not used")
    line = _MARK + b"compressed "
    payload = (line * (_COMPRESSIBLE // len(line) + 1))[:_COMPRESSIBLE]
    before = talk.octets
    watch = Stopwatch()
    # Twice: the second refers to the first, unless the server keeps no context.
    for _ in range(2):
        talk.text(payload, compress=True)
        back, other = await talk.echo_of(payload, plan.patience)
        if back is None and other is not None:
            text = f"a compressed message comes back changed: {other[:30]!r}…"
            return report.problem("compression", text, watch.seconds)
        if back is None:
            text = f"a compressed message isn't answered within {plan.patience:g} s"
            return report.problem("compression", text, watch.seconds)
    octets = talk.octets - before
    compressed = octets < len(payload)
    how = f"came back in {octets} bytes" if compressed else "came back uncompressed"
    text = f"2 compressed messages of {len(payload)} bytes {how}"
    return report.ok("compression", text, watch.seconds, answer_compressed=compressed)


async def fragmentation(talk: Talk, plan: Plan, report: Report) -> bool:
    """Sends a text in three fragments with a ping between (RFC 6455 section 5.4)."""
    whole = _MARK + "fragménted ✓".encode()
    # Cut inside of characters: what is split is octets, not text.
    parts = whole[:21], whole[21:-2], whole[-2:]
    payload = os.urandom(4)
    watch = Stopwatch()
    talk.fragment(parts[0], first=True, last=False)
    talk.ping(payload)
    try:
        pong = await talk.until(
            lambda event: event.kind == "pong" and event.data == payload, plan.patience
        )
        talk.fragment(parts[1], first=False, last=False)
        talk.fragment(parts[2], first=False, last=True)
        back, other = await talk.echo_of(whole, plan.patience)
    except Ended as error:
        if error.end.of_no_step:
            raise
        text = f"a text in three fragments with a ping between: {error}"
        return report.problem("fragments", text, watch.seconds)
    if back is None:
        came = "gets no answer" if other is None else f"comes back as {other[:60]!r}"
        return report.problem("fragments", f"a text in three fragments {came}", watch.seconds)
    if pong is None:
        text = "a ping between fragments is not answered before the message is complete"
        return report.note("fragments", text, watch.seconds)
    text = "a text in three fragments comes back whole, the ping between them was answered"
    return report.ok("fragments", text, watch.seconds)


async def close(talk: Talk, plan: Plan, report: Report) -> bool:
    """Closes with 1000; the server must answer with a Close frame and then end TCP."""
    watch = Stopwatch()
    talk.close(1000, "check done")
    try:
        answer = await talk.until(lambda event: event.kind == "close", plan.patience)
    except Ended as error:
        if error.end.of_no_step:
            raise
        text = f"the Close frame isn't answered with one: {error}"
        return report.problem("close", text, watch.seconds)
    if answer is None:
        text = f"the Close frame isn't answered within {plan.patience:g} s"
        return report.problem("close", text, watch.seconds)
    seconds = watch.seconds
    assert talk.ended is not None
    code = talk.ended.code
    if code == 1000:
        report.ok("close", "1000 is answered with 1000", seconds, code=code)
    else:
        report.note("close", f"1000 is answered with {code}", seconds, code=code)
    return await _end_of_tcp(talk, plan, report)


async def _end_of_tcp(talk: Talk, plan: Plan, report: Report) -> bool:
    """The server ends TCP first, so that the client's port is free at once (section 7.1.1)."""
    watch = Stopwatch()
    if not await talk.until_eof(plan.patience):
        text = f"the server doesn't end TCP within {plan.patience:g} s of the closing handshake"
        return report.problem("tcp end", text, watch.seconds)
    if watch.seconds > _PROMPT:
        text = "the server takes its time to end TCP after the closing handshake"
        return report.note("tcp end", text, watch.seconds)
    text = "the server ends TCP after the closing handshake"
    return report.ok("tcp end", text, watch.seconds)


async def idle(talk: Talk, plan: Plan, report: Report) -> bool:
    """Stays silent, and sees when and by what that is ended."""
    assert plan.idle is not None
    start = time.perf_counter()
    try:
        await talk.until(lambda event: False, plan.idle)
    except Ended as error:
        return _cut(error.end, start, talk, report)
    seconds = time.perf_counter() - start
    pings = _pings(talk)
    payload = os.urandom(8)
    talk.ping(payload)
    try:
        pong = await talk.until(lambda event: event.kind == "pong", plan.patience)
    except Ended as error:
        return _cut(error.end, start, talk, report)
    if pong is None:
        text = f"after {plan.idle:g} s of silence nothing comes back, though nobody ended TCP"
        return report.problem("idle", text, seconds, topics=("idle",), survived=False)
    text = f"{plan.idle:g} s of silence are survived{pings}"
    return report.ok("idle", text, seconds, survived=True, pings=len(talk.pinged_at))


def _cut(end: End, start: float, talk: Talk, report: Report) -> bool:
    seconds = end.at - start
    return report.problem(
        "idle",
        f"cut after {seconds:.1f} s of silence{_pings(talk)}: {end.text}; "
        f"raise that limit, or send pings more often",
        seconds,
        topics=("idle",),
        survived=False,
        how=end.how,
        code=end.code,
        pings=len(talk.pinged_at),
    )


def _pings(talk: Talk) -> str:
    times = talk.pinged_at
    if not times:
        return " without a ping from the server"
    if len(times) == 1:
        return " with one ping from the server"
    every = (times[-1] - times[0]) / (len(times) - 1)
    return f" with a ping from the server every {every:.1f} s"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"
