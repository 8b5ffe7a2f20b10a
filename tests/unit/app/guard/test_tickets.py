from __future__ import annotations

import base64
import re
from typing import Any

import pytest

from duologue.app.guard.tickets import InvalidTicket, Tickets

SECRET = "a secret of the site"
OTHER = "another secret of it"


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize("user", ["ada", 7, {"id": 7, "name": "Ådå"}, ["a", None], True, "x" * 900])
def test_a_ticket_names_its_user(user: Any) -> None:
    assert Tickets(SECRET).verify(Tickets(SECRET.encode()).issue(user)) == user


def test_a_ticket_fits_urls_and_subprotocols() -> None:
    for number in range(50):
        ticket = Tickets(SECRET).issue({"n": number, "text": "ÿ?>~" * number})
        assert re.fullmatch(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}", ticket)


def test_a_ticket_expires(clock: Clock) -> None:
    tickets = Tickets(SECRET, ttl=30, clock=clock)
    ticket, short = tickets.issue("ada"), tickets.issue("ada", ttl=5)
    clock.now += 4.9
    assert tickets.verify(short) == "ada"
    clock.now += 0.2
    with pytest.raises(InvalidTicket, match=r"expired 0\.1 seconds ago"):
        tickets.verify(short)
    clock.now += 24.8
    assert tickets.verify(ticket) == "ada"
    clock.now += 0.2
    with pytest.raises(InvalidTicket, match="expired"):
        tickets.verify(ticket)


def test_secrets_are_rotated() -> None:
    old, both, new = Tickets(OTHER), Tickets([SECRET, OTHER]), Tickets(SECRET)
    assert both.verify(old.issue("ada")) == "ada"
    assert new.verify(both.issue("ada")) == "ada"
    for wrong in (lambda: new.verify(old.issue("ada")), lambda: old.verify(both.issue("ada"))):
        with pytest.raises(InvalidTicket, match="signature"):
            wrong()


def test_no_octet_may_be_changed() -> None:
    tickets = Tickets(SECRET)
    ticket = tickets.issue("ada")
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
    for at in range(len(ticket)):
        for letter in (letters[(letters.index(ticket[at]) + 1) % 65], "=", ""):
            with pytest.raises(InvalidTicket):
                tickets.verify(ticket[:at] + letter + ticket[at + 1 :])


@pytest.mark.parametrize(
    "ticket", ["", ".", "a", "a.b", "a.b.c", "é.é", "\0", "x" * 10_000, "=.=", "YQ.YQ", "a" * 43]
)
def test_what_is_no_ticket(ticket: str) -> None:
    with pytest.raises(InvalidTicket):
        Tickets(SECRET).verify(ticket)


def test_the_body_may_not_be_signed_by_nobody() -> None:
    body = base64.urlsafe_b64encode(b'["root",9999999999]').decode().rstrip("=")
    for signature in ("", "A" * 43, body):
        with pytest.raises(InvalidTicket):
            Tickets(SECRET).verify(f"{body}.{signature}")


def test_single_use(clock: Clock) -> None:
    tickets = Tickets(SECRET, single_use=True, clock=clock)
    first, second = tickets.issue("ada"), tickets.issue("ada")
    assert first != second
    assert tickets.verify(first) == "ada"
    with pytest.raises(InvalidTicket, match="used before"):
        tickets.verify(first)
    assert tickets.verify(second) == "ada"
    with pytest.raises(InvalidTicket, match="more than one use"):
        tickets.verify(Tickets(SECRET, clock=clock).issue("ada"))
    # Without it a ticket counts until it expires.
    again = Tickets(SECRET, clock=clock)
    ticket = again.issue("ada")
    assert [again.verify(ticket) for _ in range(3)] == ["ada"] * 3


def test_tickets_used_are_bounded(clock: Clock) -> None:
    tickets = Tickets(SECRET, ttl=10, single_use=True, max_used=100, clock=clock)
    for number in range(100):
        assert tickets.verify(tickets.issue(number)) == number
    last = tickets.issue("last", ttl=20)
    with pytest.raises(InvalidTicket, match=r"100 tickets were used .* \(setting: max_used\)"):
        tickets.verify(last)
    clock.now += 10.1
    assert tickets.verify(last) == "last"
    assert len(tickets._used) == 1


def test_impossible_values() -> None:
    for secret in ("short", b"", [], ["a secret of the site", "short"]):
        with pytest.raises(ValueError, match="secret"):
            Tickets(secret)
    with pytest.raises(TypeError):
        Tickets([7])  # type: ignore[list-item]
    for options in ({"ttl": 0}, {"ttl": -1}, {"max_used": 0}):
        with pytest.raises(ValueError, match="must be above 0"):
            Tickets(SECRET, **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ttl"):
        Tickets(SECRET).issue("ada", ttl=0)
    with pytest.raises(ValueError, match="4096"):
        Tickets(SECRET).issue("x" * 4000)
    with pytest.raises(TypeError):
        Tickets(SECRET).issue(object())


def test_secrets_are_not_shown() -> None:
    assert SECRET not in repr(Tickets(SECRET))
