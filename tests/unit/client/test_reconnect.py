"""Reconnecting on virtual time: when, after what, how often, and what is told of it."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections.abc import Callable, Generator
from email.utils import formatdate
from typing import Any

import pytest

from duologue import (
    Headers,
    InvalidMessage,
    InvalidProxyMessage,
    InvalidProxyStatus,
    InvalidStatus,
    ProxyError,
    Response,
    connect,
    serve,
)
from duologue.client import reconnect
from duologue.client.reconnect import (
    ATTEMPTS_KEPT,
    CLOSE_DELAYS,
    RETRY_AFTER_MAX,
    STABLE_PERIOD,
    Reconnection,
    backoff,
    process_exception,
    retry_after,
)
from duologue.testing import SimulatedLoop, SimulatedNetwork

URI = "ws://server.test/"


@pytest.fixture
def network() -> SimulatedNetwork:
    return SimulatedNetwork()


@pytest.fixture(autouse=True)
def loop_factory(network: SimulatedNetwork) -> Callable[[], SimulatedLoop]:
    return network.loop_factory


def now() -> float:
    return asyncio.get_running_loop().time()


def ones() -> Generator[float]:
    yield from itertools.repeat(1.0)


def refusal(status: int, *headers: tuple[str, str], proxy: bool = False) -> Exception:
    response = Response(status, "", Headers(list(headers)))
    return InvalidProxyStatus(response) if proxy else InvalidStatus(response)


class Answers:
    """Refuses as often as it is told to; ``None`` accepts."""

    def __init__(self, *answers: tuple[int, str | None] | None) -> None:
        self.answers = list(answers)
        self.asked: list[float] = []

    def __call__(self, connection: Any, request: Any) -> Any:
        self.asked.append(now())
        answer = self.answers.pop(0) if self.answers else None
        if answer is None:
            return None
        response = connection.respond(answer[0], "later\n")
        if answer[1] is not None:
            response.headers["Retry-After"] = answer[1]
        return response


async def wait_closed(connection: Any) -> None:
    await connection.wait_closed()


# -- what is tried again


@pytest.mark.parametrize("proxy", [False, True])
@pytest.mark.parametrize("status", [200, 400, 401, 404, 407, 429, 500, 501, 502, 503, 504])
def test_statuses(status: int, proxy: bool) -> None:
    exc = refusal(status, proxy=proxy)
    again = status in (429, 500, 502, 503, 504)
    assert process_exception(exc) is (None if again else exc)


@pytest.mark.parametrize("kind", [InvalidMessage, InvalidProxyMessage])
@pytest.mark.parametrize(
    ("cause", "again"),
    [(EOFError(), True), (ConnectionResetError(), True), (ValueError(), False), (None, False)],
)
def test_answers_that_were_cut(
    kind: type[Exception], cause: BaseException | None, again: bool
) -> None:
    exc = kind("cut")
    exc.__cause__ = cause
    assert process_exception(exc) is (None if again else exc)


@pytest.mark.parametrize(
    ("code", "again"), [(1, True), (2, False), (4, True), (5, True), (7, False), (None, False)]
)
def test_replies_of_socks_proxies(code: int | None, again: bool) -> None:
    class Reply(Exception):
        error_code = code

    exc = ProxyError("no")
    exc.__cause__ = Reply()
    assert process_exception(exc) is (None if again else exc)


# -- Retry-After

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("3600", 3600.0),
        ("3601", RETRY_AFTER_MAX),
        ("9" * 5000, RETRY_AFTER_MAX),
        ("-5", 0.0),
        ("1.5", 0.0),
        ("٣", 0.0),
        ("soon", 0.0),
        ("", 0.0),
        (formatdate(NOW + 90, usegmt=True), 90.0),
        (formatdate(NOW - 90, usegmt=True), 0.0),
        (formatdate(NOW + 1e6, usegmt=True), RETRY_AFTER_MAX),
        ("Tuesday, 14-Nov-23 22:14:20 GMT", 60.0),
        ("Tue Nov 14 22:14:20 2023", 60.0),
        ("Tue, 99 Nov 2023 22:14:20 GMT", 0.0),
    ],
)
@pytest.mark.parametrize("proxy", [False, True])
def test_retry_after(
    value: str, expected: float, proxy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = Headers()
    headers.set_insecure("Retry-After", value)
    response = Response(503, "", headers)
    exc = InvalidProxyStatus(response) if proxy else InvalidStatus(response)
    assert retry_after(exc, NOW) == expected
    monkeypatch.setattr("time.time", lambda: NOW)
    assert retry_after(exc) == expected


def test_retry_after_of_others() -> None:
    assert retry_after(refusal(429, ("Retry-After", "7"))) == 7.0
    assert retry_after(refusal(502, ("Retry-After", "7"))) == 0.0
    assert retry_after(refusal(503)) == 0.0
    assert retry_after(refusal(503, ("Retry-After", "7"), ("Retry-After", "8"))) == 0.0
    assert retry_after(OSError()) == 0.0


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_waited_besides(status: int) -> None:
    answers = Answers((status, "30"), (status, None), None)
    async with serve(wait_closed, "server.test", 80, process_request=answers):
        async for _ in connect(URI, reconnect_delays=ones):
            break
    assert answers.asked == [0.0, 31.0, 32.0]


# -- full jitter


def test_each_delay_is_drawn_below_a_bound_that_doubles() -> None:
    bounds = [0.5, 1, 2, 4, 8, 16, 30, 30]
    drawn = [list(itertools.islice(backoff(), len(bounds))) for _ in range(300)]
    for index, bound in enumerate(bounds):
        column = sorted(delays[index] for delays in drawn)
        assert 0 <= column[0] < 0.1 * bound
        assert 0.9 * bound < column[-1] <= bound
        # Uniform: the middle is in the middle.
        assert 0.35 * bound < column[150] < 0.65 * bound


async def test_refused_until_somebody_listens() -> None:
    random.seed(11)
    client = connect(URI)
    loop = asyncio.get_running_loop()
    waited: list[float] = []

    async def appear() -> Any:
        await asyncio.sleep(20)
        return await serve(wait_closed, "server.test", 80)

    task = loop.create_task(appear())
    async for _ in client:
        waited = [attempt.delay or 0 for attempt in client.attempts]
        break
    server = await task
    assert now() == pytest.approx(sum(waited))
    assert all(delay <= min(0.5 * 2**index, 30) for index, delay in enumerate(waited))
    server.close()
    await server.wait_closed()


# -- lost connections


def closing(*codes: int | None, after: float = 0.0) -> Any:
    """A handler that closes one connection after the other with a code; ``None`` cuts."""
    left = list(codes)

    async def handler(connection: Any) -> None:
        if not left:
            await connection.wait_closed()
            return
        await asyncio.sleep(after)
        code = left.pop(0)
        if code is None:
            connection.transport.abort()
        else:
            await connection.close(code)

    return handler


async def gaps(handler: Any, count: int, **options: Any) -> list[float]:
    """Seconds between the loss of each connection and the next one."""
    found: list[float] = []
    lost: float | None = None
    async with serve(handler, "server.test", 80):
        async for connection in connect(URI, **options):
            if lost is not None:
                found.append(now() - lost)
                if len(found) == count:
                    break
            await connection.wait_closed()
            lost = now()
    return found


@pytest.mark.parametrize("code", [1012, 1013])
async def test_codes_that_say_to_wait(code: int) -> None:
    least, greatest = CLOSE_DELAYS[code]
    found = await gaps(closing(*[code] * 30), 30)
    assert all(least <= gap <= greatest for gap in found)
    assert max(found) - min(found) > 0.5 * (greatest - least)


@pytest.mark.parametrize("code", [1012, 1013])
async def test_delays_of_the_program_are_its_own(code: int) -> None:
    assert await gaps(closing(code, code), 2, reconnect_delays=ones) == [1.0, 1.0]


@pytest.mark.parametrize("code", [None, 1000, 1001, 1011])
async def test_a_server_that_ends_at_once_is_not_asked_again_and_again(code: int | None) -> None:
    found = await gaps(closing(*[code] * 12), 12)
    assert all(gap <= min(0.5 * 2**index, 30) for index, gap in enumerate(found))
    assert sum(found[6:]) > 10


async def test_delays_begin_anew_after_a_stable_connection() -> None:
    def grow() -> Generator[float]:
        yield from itertools.count(1)

    found = await gaps(closing(1011, 1011, 1011, after=1.0), 3, reconnect_delays=grow)
    assert found == [1, 2, 3]
    found = await gaps(closing(1011, 1011, 1011, after=STABLE_PERIOD), 3, reconnect_delays=grow)
    assert found == [1, 1, 1]


async def test_who_ends_the_connection_himself_has_the_next_at_once() -> None:
    times = []
    async with serve(wait_closed, "server.test", 80):
        client = connect(URI)
        async for connection in client:
            times.append(now())
            if len(times) == 3:
                break
            if len(times) == 2:
                await connection.close()
    assert times == [0.0, 0.0, 0.0]
    assert client.attempts == ()


async def test_a_fault_found_here_is_a_loss() -> None:
    async def handler(connection: Any) -> None:
        await connection.send("too long for it")
        await connection.wait_closed()

    times: list[float] = []
    async with serve(handler, "server.test", 80):
        client = connect(URI, max_size=4, reconnect_delays=ones)
        async for connection in client:
            times.append(now())
            if len(times) == 2:
                break
            await connection.wait_closed()
    assert times == [0.0, 1.0]
    assert "max_size" in client.attempts[0].reason


# -- what is told


async def test_every_attempt_is_logged_and_remembered(caplog: pytest.LogCaptureFixture) -> None:
    answers = Answers((503, None), (503, "5"))
    handler = closing(4000)
    client = connect(
        "ws://me:secret@server.test/chat?token=secret",
        reconnect_delays=ones,
        logger=logging.getLogger("tried"),
    )
    with caplog.at_level(logging.INFO, logger="tried"):
        async with serve(handler, "server.test", 80, process_request=answers):
            async for connection in client:
                if len(client.attempts) == 3:
                    break
                await connection.wait_closed()
    lines = [record.getMessage() for record in caplog.records if record.name == "tried"]
    refused = (
        "InvalidStatus: server rejected WebSocket connection: HTTP 503; "
        "while doing the opening handshake with server.test:80"
    )
    lost = "the peer closed the connection: 4000 (private use)"
    assert lines == [
        f"connect failed; reconnecting in 1.0 seconds: {refused}",
        f"connect failed; reconnecting in 6.0 seconds: {refused}",
        f"connection lost; reconnecting in 1.0 seconds: {lost}",
    ]
    told = [
        (attempt.number, attempt.reason, attempt.lasted, attempt.delay)
        for attempt in client.attempts
    ]
    assert told == [(1, refused, None, 1.0), (2, refused, None, 6.0), (3, lost, 0.0, 1.0)]
    # Logs are no place for credentials.
    assert {attempt.uri for attempt in client.attempts} == {"ws://server.test/chat"}


@pytest.mark.parametrize(
    ("exc", "text"),
    [
        (
            OSError(111, "Connection refused"),
            "ConnectionRefusedError: [Errno 111] Connection refused",
        ),
        (TimeoutError(), "TimeoutError"),
        (InvalidMessage("cut"), "InvalidMessage: cut"),
    ],
)
def test_explain(exc: Exception, text: str) -> None:
    assert reconnect.explain(exc) == text
    exc.__cause__ = ValueError("why")
    why = " (why)" if isinstance(exc, InvalidMessage) else ""
    exc.add_note("while trying")
    exc.add_note("again")
    assert reconnect.explain(exc) == f"{text}{why}; while trying; again"


async def test_the_last_failure_tells_of_those_before() -> None:
    answers = Answers((503, None), (502, None), (404, None))
    async with serve(wait_closed, "server.test", 80, process_request=answers):
        client = connect(URI, reconnect_delays=ones)
        with pytest.raises(InvalidStatus) as raised:
            async for _ in client:
                pytest.fail("all are refused")
    why = "InvalidStatus: server rejected WebSocket connection: HTTP {}; "
    where = "while doing the opening handshake with server.test:80"
    assert raised.value.__notes__ == [
        where,
        f"attempt 1 to connect to {URI} failed: {why.format(503)}{where}; waited 1.0 s",
        f"attempt 2 to connect to {URI} failed: {why.format(502)}{where}; waited 1.0 s",
    ]
    assert [attempt.delay for attempt in client.attempts] == [1.0, 1.0, None]
    assert client.attempts[2].reason == why.format(404) + where


def test_only_the_latest_attempts_are_kept() -> None:
    again = Reconnection(ones)
    for number in range(1, 51):
        assert again.failed(URI, OSError(f"failure {number}")).number == number
    assert len(again.attempts) == ATTEMPTS_KEPT
    last = OSError("last")
    again.given_up(URI, last)
    assert len(again.attempts) == ATTEMPTS_KEPT
    assert last.__notes__[0] == "attempts before number 41 are not shown"
    assert len(last.__notes__) == ATTEMPTS_KEPT + 1


async def test_attempts_hold_no_exceptions() -> None:
    """An exception would hold the frames that it went through, and these their connections."""
    answers = Answers((503, None))
    async with serve(wait_closed, "server.test", 80, process_request=answers):
        client = connect(URI, reconnect_delays=ones)
        async for _ in client:
            break
    assert all(
        isinstance(getattr(client.attempts[0], name), str | int | float | None)
        for name in client.attempts[0].__slots__
    )


async def test_iterating_again_begins_anew() -> None:
    answers = Answers((503, None), None, (503, None))
    async with serve(wait_closed, "server.test", 80, process_request=answers):
        client = connect(URI, reconnect_delays=ones)
        for _ in range(2):
            async for _ in client:
                break
            # What iterated is closed by the event loop, a little later.
            await asyncio.sleep(1)
            assert [attempt.number for attempt in client.attempts] == [1]


def test_codes_are_waited_for_no_shorter_than_the_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    again = Reconnection(backoff)
    again._delays = iter([1000.0])  # type: ignore[assignment]
    assert again.lost(URI, "", 0.0, 1012).delay == 1000.0
    monkeypatch.setattr(reconnect, "CLOSE_DELAYS", {})
    again = Reconnection(backoff)
    assert (again.lost(URI, "", 0.0, 1012).delay or 0) <= 0.5


@pytest.mark.parametrize(
    ("reason", "asked"),
    [
        ("retry after 2.7 s", 2.7),
        ("retry after 9 s", 9.0),
        ("retry after 999999999 s", RETRY_AFTER_MAX),
        ("retry after -1 s", None),
        ("please retry after 1 s", None),
        ("", None),
        (None, None),
    ],
)
def test_what_a_server_asks_for_when_it_leaves(reason: str | None, asked: float | None) -> None:
    assert reconnect.asked_delay(reason) == asked
    again = Reconnection(ones)
    for code in (1001, 1012, 1013):
        assert again.lost(URI, "", 0.0, code, reason).delay == 1.0 + (asked or 0.0)
    assert again.lost(URI, "", 0.0, 1000, reason).delay == 1.0
