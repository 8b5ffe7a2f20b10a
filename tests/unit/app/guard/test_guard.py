from __future__ import annotations

import logging
import re
from typing import Any

import pytest

from duologue.app.guard.guard import Admission, Facts, Guard, Refusal
from duologue.base.rates import Rate
from duologue.wire.headers import Headers
from duologue.wire.http11 import Request


def facts(
    client: str | None = "203.0.113.7",
    *,
    origin: str | list[str] | None = None,
    host: str | None = "example.com",
    scheme: str = "http",
    server: str | None = "192.0.2.1",
    upgrade: bool = True,
    **headers: str,
) -> Facts:
    fields = Headers()
    for name, value in headers.items():
        fields[name.replace("_", "-")] = value
    for value in [origin] if isinstance(origin, str) else origin or []:
        fields["Origin"] = value
    return Facts(Request("/", fields), scheme, host, client, server, upgrade)


def admit(guard: Guard, now: float = 0.0, **about: Any) -> Admission:
    outcome = guard.admit(facts(**about), now)
    assert isinstance(outcome, Admission), outcome.log
    return outcome


def refuse(guard: Guard, now: float = 0.0, **about: Any) -> Refusal:
    outcome = guard.admit(facts(**about), now)
    assert isinstance(outcome, Refusal)
    return outcome


# -- origins


def test_by_default_the_same_origin_and_none() -> None:
    guard = Guard()
    admit(guard)
    admit(guard, origin="http://example.com")
    admit(guard, origin="https://example.com", scheme="https")
    refusal = refuse(guard, origin="https://evil.com")
    assert (refusal.status, refusal.rule, refusal.body) == (403, "origins", "Forbidden.\n")
    assert refusal.log == (
        "origin 'https://evil.com' is foreign to http://example.com; "
        "to allow it, add origins=['https://evil.com'] to App"
    )
    assert "Retry-After" not in dict(refusal.headers)
    assert refuse(guard, origin="null").rule == "origins"
    assert refuse(guard, origin=["http://example.com", "http://example.com"]).rule == "origins"
    assert refuse(guard, origin="http://example.com", host=None).rule == "origins"


def test_what_the_log_says_works() -> None:
    for origin in ("https://evil.com", "null", "http://localhost:5173"):
        pasted = re.search(r"origins=(\[.*\])", refuse(Guard(), origin=origin).log)
        assert pasted is not None
        guard = Guard(origins=eval(pasted[1]))
        admit(guard, origin=origin)
        admit(guard, origin="http://example.com")
        admit(guard)
        refuse(guard, origin="https://other.com")


def test_origins_hold_for_handshakes_only() -> None:
    admit(Guard(), origin="https://evil.com", upgrade=False)


def test_what_a_peer_sends_does_not_break_the_log() -> None:
    assert "\x85" not in refuse(Guard(), origin="x\x85y" * 500).log
    assert len(refuse(Guard(), origin="x" * 8000).log) < 1000


# -- hosts


def test_allowed_hosts() -> None:
    guard = Guard(allowed_hosts=["example.com", "*.example.org"])
    admit(guard)
    admit(guard, host="a.example.org:8000", upgrade=False)
    for upgrade in (True, False):
        refusal = refuse(guard, host="evil.com:8000", upgrade=upgrade)
        assert (refusal.status, refusal.rule, refusal.body) == (
            403,
            "allowed_hosts",
            "Forbidden.\n",
        )
        assert refusal.log == (
            "host 'evil.com:8000' is none of this server's names; "
            "to allow it, add allowed_hosts=['evil.com'] to App"
        )
    refuse(guard, host=None)


def test_a_name_that_points_to_this_machine() -> None:
    here: dict[str, Any] = {"client": "127.0.0.1", "server": "127.0.0.1"}
    rebound: dict[str, Any] = here | {"host": "evil.com:8000", "origin": "http://evil.com:8000"}
    refusal = refuse(Guard(), **rebound)
    assert refusal.rule == "allowed_hosts"
    assert "allowed_hosts=['evil.com']" in refusal.log
    admit(Guard(allowed_hosts=["evil.com"]), **rebound)
    admit(Guard(allowed_hosts="*"), **rebound)
    # No browser, another machine, or a name of this one: nobody was deceived.
    admit(Guard(), **rebound | {"origin": None})
    admit(Guard(), **rebound | {"client": "203.0.113.7"})
    admit(Guard(), **rebound | {"server": "192.0.2.1"})
    for name in ("localhost:8000", "127.0.0.1:8000", "[::1]:8000"):
        admit(Guard(), **here | {"host": name, "origin": f"http://{name}"})


# -- numbers


def test_connections_in_all() -> None:
    guard = Guard(max_connections=2)
    admissions = [admit(guard, client=f"203.0.113.{n}") for n in range(2)]
    refusal = refuse(guard, client="203.0.113.9")
    assert (refusal.status, refusal.rule, refusal.retry_after) == (503, "max_connections", 1)
    assert refusal.body == "The server is busy.\n"
    assert refusal.log == "2 connections are open; to allow more, raise max_connections=2 of App"
    assert dict(refusal.headers)["Retry-After"] == "1"
    admit(guard, upgrade=False)
    admissions[0].release()
    admissions[0].release()
    admit(guard)
    refuse(guard)


def test_connections_of_a_client() -> None:
    guard = Guard(max_connections_per_client=1)
    first = admit(guard, client="2001:db8::1")
    refusal = refuse(guard, client="2001:db8::2")
    assert (refusal.status, refusal.rule) == (429, "max_connections_per_client")
    assert refusal.body == "Too many connections.\n"
    assert "2001:db8::/64" in refusal.log
    admit(guard, client="2001:db8:0:1::2")
    # Who comes over a Unix socket is not told apart.
    for _ in range(3):
        admit(guard, client=None)
    with first:
        pass
    admit(guard, client="2001:db8::2")


def test_connections_of_a_key() -> None:
    for key in (
        "X-Api-Key",
        lambda request: next(iter(request.headers.get_all("X-Api-Key")), None),
    ):
        guard = Guard(max_connections_per_key=1, key=key)
        admission = admit(guard, X_Api_Key="one")
        refusal = refuse(guard, X_Api_Key="one")
        assert refusal.rule == "max_connections_per_key"
        # Keys may be secrets.
        assert "one'" not in refusal.log
        admit(guard, X_Api_Key="two")
        admit(guard)
        admit(guard)
        admit(guard, X_Api_Key="x" * 5000)
        assert refuse(guard, X_Api_Key="x" * 5000).status == 429
        admission.release()
        admit(guard, X_Api_Key="one")


def test_what_is_refused_counts_nowhere() -> None:
    guard = Guard(max_connections=5, max_connections_per_client=1, connect_rate=Rate(5, 3600))
    admit(guard)
    for _ in range(20):
        refuse(guard)
    for number in range(4):
        admit(guard, client=f"198.51.100.{number}")
    assert refuse(guard, client="198.51.100.9").rule == "max_connections"


# -- rates


def test_connect_rates() -> None:
    guard = Guard(connect_rate=Rate(3, 60), connect_rate_per_client=Rate(2, 60))
    admit(guard).release()
    admit(guard).release()
    refusal = refuse(guard)
    assert (refusal.status, refusal.rule, refusal.retry_after) == (
        429,
        "connect_rate_per_client",
        30,
    )
    assert refusal.log == (
        "connections of one client come faster than 2/60 s, 2 at once (203.0.113.7); "
        "to allow more, raise connect_rate_per_client=Rate(count=2, seconds=60, burst=2.0) of App"
    )
    admit(guard, client="198.51.100.1").release()
    refusal = refuse(guard, client="198.51.100.2")
    assert (refusal.status, refusal.rule, refusal.retry_after) == (503, "connect_rate", 20)
    refuse(guard, now=19, client="198.51.100.2")
    admit(guard, now=20, client="198.51.100.2")


def test_connect_rate_of_a_key() -> None:
    guard = Guard(connect_rate_per_key=1, key="X-Api-Key")
    admit(guard, X_Api_Key="one").release()
    assert refuse(guard, X_Api_Key="one").rule == "connect_rate_per_key"
    admit(guard, X_Api_Key="two")


def test_many_addresses_do_not_take_memory() -> None:
    guard = Guard(connect_rate_per_client=Rate(1, 3600), max_connections_per_client=1)
    for number in range(70_000):
        admit(guard, client=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}").release()
    quota = guard._quotas[1]
    assert quota is not None
    assert quota.buckets is not None
    assert len(quota.buckets) == 65_536
    assert quota.open == {}


# -- applications and their parts


def test_a_part_has_origins_and_hosts_of_its_own() -> None:
    guard = Guard(origins=["https://a.com"], allowed_hosts=["example.com"])
    part = guard.narrowed(setting='app.websocket("/x")', origins=["https://b.com"])
    admit(part, origin="https://b.com")
    refusal = refuse(part, origin="https://a.com")
    assert refusal.log.endswith("add origins=['https://a.com'] to app.websocket(\"/x\")")
    admit(part, origin="http://example.com")
    refuse(part, host="evil.com")
    same = guard.narrowed(setting="x", max_connections=1)
    admit(same, origin="https://a.com")
    refuse(guard.narrowed(setting="x", origins=[]), origin="https://a.com")
    admit(guard.narrowed(setting="x", allowed_hosts="*"), host="evil.com")


def test_numbers_of_a_part_hold_besides() -> None:
    guard = Guard(max_connections=2)
    one = guard.narrowed(setting="one", max_connections=1)
    two = guard.narrowed(setting="two", max_connections=5)
    first = admit(one)
    assert refuse(one).log.endswith("max_connections=1 of one")
    admit(two)
    assert refuse(two).log.endswith("max_connections=2 of App")
    first.release()
    admit(two)
    refuse(one)


def test_keys_are_inherited() -> None:
    part = Guard(key="X-Api-Key").narrowed(setting="x", max_connections_per_key=1)
    admit(part, X_Api_Key="one")
    refuse(part, X_Api_Key="one")


# -- options


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_connections": 0}, ValueError),
        ({"max_connections_per_client": -1}, ValueError),
        ({"max_connections": 1.5}, TypeError),
        ({"max_connections": True}, TypeError),
        ({"max_connections_per_key": 1}, ValueError),
        ({"connect_rate_per_key": 1}, ValueError),
        ({"connect_rate": 0}, ValueError),
        ({"connect_rate": "fast"}, TypeError),
        ({"origins": ["example.com"]}, ValueError),
        ({"allowed_hosts": ["http://example.com"]}, ValueError),
    ],
)
def test_impossible_options(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        Guard(**options)


# -- the log


def test_a_flood_of_refusals_does_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("guard")
    guard = Guard()
    part = guard.narrowed(setting="x", max_connections=1)
    about = facts(origin="https://evil.com")
    refusal = guard.admit(about, 0.0)
    assert isinstance(refusal, Refusal)
    with caplog.at_level(logging.WARNING, "guard"):
        for _ in range(500):
            guard.log(logger, about, refusal, 100.0)
            part.log(logger, about, refusal, 100.0)
        assert len(caplog.records) == 20
        assert caplog.messages[0] == f"refused 203.0.113.7 with 403: {refusal.log}"
        guard.log(logger, about, refusal, 102.0)
        assert caplog.messages[20].endswith("(980 more refusals were not logged)")
        guard.log(logger, facts(None), refusal, 104.0)
        assert caplog.messages[21] == f"refused a Unix socket with 403: {refusal.log}"
