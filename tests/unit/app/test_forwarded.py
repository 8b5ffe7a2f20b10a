"""Whose word about the client counts, and what they say."""

from __future__ import annotations

from typing import Any

import pytest

from duologue.app.forwarded import Forwarded, TrustedProxies
from duologue.wire.headers import Headers


def read(allowed: str, *fields: tuple[str, str]) -> Forwarded:
    return TrustedProxies(allowed).read(Headers(fields))


@pytest.mark.parametrize(
    ("allowed", "host", "trusted"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "::ffff:127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("10.0.0.0/8, 192.168.1.1", "10.200.3.4", True),
        ("10.0.0.0/8, 192.168.1.1", "192.168.1.1", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("10.0.0.1/8", "10.9.9.9", True),
        ("fd00::/8", "fd12::1", True),
        ("fe80::/10", "fe80::1%eth0", True),
        ("fd00::/8", "10.0.0.1", False),
        ("*", "8.8.8.8", True),
        ("*", None, True),
        ("unix", None, True),
        ("127.0.0.1", None, False),
        ("unix", "127.0.0.1", False),
        ("", "127.0.0.1", False),
        ("10.0.0.0/8", "testclient", False),
    ],
)
def test_trust(allowed: str, host: str | None, trusted: bool) -> None:
    assert TrustedProxies(allowed).trusts(host) is trusted
    assert TrustedProxies(allowed.split(",")).trusts(host) is trusted


def test_a_name_is_no_address() -> None:
    with pytest.raises(ValueError, match=r"forwarded_allow_ips has 'proxy\.local'"):
        TrustedProxies("127.0.0.1,proxy.local")


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("192.0.2.1", ("192.0.2.1", 0)),
        ("192.0.2.1:4711", ("192.0.2.1", 4711)),
        ("2001:db8::1", ("2001:db8::1", 0)),
        ("[2001:db8::1]:80", ("2001:db8::1", 80)),
        ("[2001:db8::1]", ("2001:db8::1", 0)),
        # What the client sent itself is on the left.
        ("6.6.6.6, 192.0.2.1", ("192.0.2.1", 0)),
        ("6.6.6.6, 192.0.2.1, 10.0.0.1, 10.0.0.2", ("192.0.2.1", 0)),
        ("10.0.0.3, 10.0.0.2", ("10.0.0.3", 0)),
        ("6.6.6.6, unknown, 10.0.0.1", ("10.0.0.1", 0)),
        ("unknown", None),
        ("", None),
        ("192.0.2.1:99999", None),
        ("192.0.2.1:x", None),
        ("[2001:db8::1", None),
        ("[2001:db8::1]80", None),
        ("1.2.3.4:²", None),
    ],
)
def test_x_forwarded_for(value: str, client: Any) -> None:
    assert read("10.0.0.0/8", ("X-Forwarded-For", value)).client == client


def test_several_lines_are_one_list() -> None:
    fields = [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "192.0.2.1, 10.0.0.1")]
    assert read("10.0.0.0/8", *fields).client == ("192.0.2.1", 0)


def test_no_more_than_some_hops() -> None:
    hops = ", ".join(["6.6.6.6", *["10.0.0.1"] * 100])
    assert read("10.0.0.0/8", ("X-Forwarded-For", hops)).client == ("10.0.0.1", 0)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("X-Forwarded-Proto", "https", Forwarded(scheme="https")),
        ("X-Forwarded-Proto", "WSS", Forwarded(scheme="https")),
        ("X-Forwarded-Proto", "ws", Forwarded(scheme="http")),
        ("X-Forwarded-Proto", "https, http", Forwarded(scheme="http")),
        ("X-Forwarded-Proto", "gopher", Forwarded()),
        ("X-Forwarded-Host", "example.com:8443", Forwarded(host="example.com:8443")),
        ("X-Forwarded-Host", "a.test, b.test", Forwarded(host="b.test")),
        ("X-Forwarded-Host", "[::1]:80", Forwarded(host="[::1]:80")),
        ("X-Forwarded-Host", "a b", Forwarded()),
        ("X-Forwarded-Host", "", Forwarded()),
    ],
)
def test_scheme_and_host(name: str, value: str, expected: Forwarded) -> None:
    assert read("10.0.0.1", (name, value)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("for=192.0.2.1", Forwarded(("192.0.2.1", 0))),
        (
            'for="[2001:db8::1]:47011"; proto=https ;host="x.test:8"',
            Forwarded(("2001:db8::1", 47011), "https", "x.test:8"),
        ),
        (
            "for=6.6.6.6;proto=http, for=192.0.2.1;proto=https;host=x.test, for=10.0.0.1",
            Forwarded(("192.0.2.1", 0), "https", "x.test"),
        ),
        ("FOR=192.0.2.1;Proto=HTTPS", Forwarded(("192.0.2.1", 0), "https")),
        ("for=_hidden", Forwarded()),
        ("for=unknown, for=10.0.0.1;proto=https", Forwarded(("10.0.0.1", 0), "https")),
        ("proto=https", Forwarded(scheme="https")),
        ("for=192.0.2.1 proto=https", Forwarded()),
        ("nonsense", Forwarded()),
        ('for="192.0.2.1', Forwarded()),
        (r'for="192.0.2\.1"', Forwarded(("192.0.2.1", 0))),
    ],
)
def test_the_standard_header(value: str, expected: Forwarded) -> None:
    assert read("10.0.0.0/8", ("Forwarded", value)) == expected


def test_the_standard_header_goes_first() -> None:
    fields = [("X-Forwarded-For", "192.0.2.9"), ("Forwarded", "for=192.0.2.1")]
    assert read("10.0.0.1", *fields).client == ("192.0.2.1", 0)
