"""Cookies in a jar: those of the right server are sent, those that any response sets are kept."""

from __future__ import annotations

from collections.abc import Callable
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from typing import Any

import pytest

from duologue import (
    ClientProtocol,
    Headers,
    InvalidStatus,
    Response,
    connect,
    serve,
)
from duologue.client.cookies import add_cookies, keep_cookies
from duologue.testing import SimulatedLoop, SimulatedNetwork
from duologue.uri import parse_uri


@pytest.fixture(autouse=True)
def loop_factory() -> Callable[[], SimulatedLoop]:
    return SimulatedNetwork().loop_factory


def cookie(name: str, value: str, domain: str, path: str = "/", *, secure: bool = False) -> Cookie:
    return Cookie(
        0, name, value, None, False, domain, bool(domain), domain.startswith("."), path, True,
        secure, None, False, None, None, {},
    )  # fmt: skip


def sent(jar: CookieJar, uri: str) -> str | None:
    headers = Headers()
    add_cookies(jar, parse_uri(uri), headers)
    return headers.get("Cookie")


def names(jar: CookieJar) -> dict[str, str | None]:
    return {each.name: each.value for each in jar}


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("ws://one.test/", "plain=1"),
        ("wss://one.test/", "plain=1; safe=2"),
        ("wss://one.test:8443/", "plain=1; safe=2"),
        ("ws://one.test/deep/er?q=1", "deep=3; plain=1"),
        ("ws://one.test/deeper", "plain=1"),
        ("ws://other.test/", None),
        ("ws://sub.two.test/", "wide=4"),
        ("ws://[::1]:8080/", None),
    ],
)
def test_which_are_sent(uri: str, expected: str | None) -> None:
    jar = CookieJar()
    jar.set_cookie(cookie("plain", "1", "one.test"))
    jar.set_cookie(cookie("safe", "2", "one.test", secure=True))
    jar.set_cookie(cookie("deep", "3", "one.test", "/deep/"))
    jar.set_cookie(cookie("wide", "4", ".two.test"))
    assert sent(jar, uri) == expected


def test_a_header_of_the_program_is_left_alone() -> None:
    jar = CookieJar()
    jar.set_cookie(cookie("a", "1", "one.test"))
    headers = Headers(cookie="mine")
    add_cookies(jar, parse_uri("ws://one.test/"), headers)
    assert headers.get_all("Cookie") == ["mine"]


def test_what_is_kept() -> None:
    jar = CookieJar()
    headers = Headers(
        [
            ("Set-Cookie", "a=1; Path=/"),
            ("Set-Cookie", "b=2; Domain=one.test; Secure"),
            ("Set-Cookie", "evil=3; Domain=bank.test"),
            ("Set-Cookie", "gone=4; Max-Age=0"),
        ]
    )
    keep_cookies(jar, parse_uri("wss://www.one.test/chat"), Response(101, "", headers))
    assert names(jar) == {"a": "1", "b": "2"}
    assert sent(jar, "ws://www.one.test/") == "a=1"
    assert sent(jar, "wss://other.one.test/") == "b=2"
    keep_cookies(jar, parse_uri("wss://www.one.test/chat"), Response(101, "", Headers()))
    assert len(jar) == 2


def test_policy_decides() -> None:
    jar = CookieJar(DefaultCookiePolicy(blocked_domains=["one.test"]))
    headers = Headers([("Set-Cookie", "a=1")])
    keep_cookies(jar, parse_uri("ws://one.test/"), Response(101, "", headers))
    assert len(jar) == 0


def setting(status: int, location: str | None = None) -> Any:
    """Count requests in a cookie, whatever becomes of them."""
    seen: list[str | None] = []

    def process_response(connection: Any, request: Any, response: Response) -> None:
        seen.append(request.headers.get("Cookie"))
        response.headers["Set-Cookie"] = f"count={len(seen)}"

    def process_request(connection: Any, request: Any) -> Any:
        if status == 101:
            return None
        response = connection.respond(status, "no\n")
        if location is not None:
            response.headers["Location"] = location
        process_response(connection, request, response)
        return response

    options = {"process_request": process_request}
    if status == 101:
        options["process_response"] = process_response
    return options, seen


async def wait_closed(connection: Any) -> None:
    await connection.wait_closed()


async def test_from_one_connection_to_the_next() -> None:
    jar = CookieJar()
    options, seen = setting(101)
    async with serve(wait_closed, "one.test", 80, **options):
        for _ in range(3):
            async with connect("ws://one.test/", cookies=jar):
                pass
        async with connect("ws://one.test/"):
            pass
    assert seen == [None, "count=1", "count=2", None]
    assert names(jar) == {"count": "3"}


@pytest.mark.parametrize("status", [401, 403, 503])
async def test_refusals_set_them_too(status: int) -> None:
    jar = CookieJar()
    options, seen = setting(status)
    async with serve(wait_closed, "one.test", 80, **options):
        for _ in range(2):
            with pytest.raises(InvalidStatus):
                await connect("ws://one.test/", cookies=jar)
    assert seen == [None, "count=1"]


async def test_across_redirects() -> None:
    jar = CookieJar()
    jar.set_cookie(cookie("secret", "x", "one.test"))
    first, seen = setting(302, "ws://two.test/")
    second, there = setting(101)
    async with (
        serve(wait_closed, "one.test", 80, **first),
        serve(wait_closed, "two.test", 80, **second),
    ):
        for _ in range(2):
            async with connect("ws://one.test/", cookies=jar):
                pass
    # Each server sees its own.
    assert [sorted((each or "").split("; ")) for each in seen] == [
        ["secret=x"],
        ["count=1", "secret=x"],
    ]
    assert there == [None, "count=1"]


def test_sans_io_has_nothing_to_do_with_it() -> None:
    assert "Cookie" not in ClientProtocol("ws://one.test/").connect().headers
