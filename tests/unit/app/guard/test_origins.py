from __future__ import annotations

import re

import pytest

from duologue.app.guard.addresses import client_key, is_loopback
from duologue.app.guard.origins import HostRules, OriginRules, is_same_origin


@pytest.mark.parametrize(
    ("origin", "scheme", "host"),
    [
        ("http://example.com", "http", "example.com"),
        ("http://example.com", "http", "example.com:80"),
        ("http://example.com:8000", "http", "example.com:8000"),
        ("https://example.com", "https", "example.com"),
        ("https://example.com", "https", "EXAMPLE.com.:443"),
        ("https://Example.Com", "https", "example.com"),
        ("http://[::1]:8000", "http", "[::1]:8000"),
        # TLS ended by a proxy that nobody was told to trust
        ("https://example.com", "http", "example.com"),
        ("https://example.com:8443", "http", "example.com:8443"),
    ],
)
def test_same_origin(origin, scheme, host):
    assert is_same_origin(origin, scheme, host)


@pytest.mark.parametrize(
    ("origin", "scheme", "host"),
    [
        ("http://evil.com", "http", "example.com"),
        ("http://example.com:8001", "http", "example.com:8000"),
        ("http://example.com", "http", "example.com:8000"),
        # a page without TLS and a site with it: whoever sits between could have made the page
        ("http://example.com", "https", "example.com"),
        ("http://sub.example.com", "http", "example.com"),
        ("http://example.com.evil.com", "http", "example.com"),
        ("http://example.com@evil.com", "http", "example.com"),
        ("http://evil.com/example.com", "http", "example.com"),
        ("null", "http", "example.com"),
        ("null", "http", "null"),
        ("", "http", ""),
        ("http://", "http", ""),
        ("file://", "http", "example.com"),
        ("chrome-extension://example.com", "http", "example.com"),
        ("http://example.com http://evil.com", "http", "example.com"),
        ("http://example.com", "http", "example.com:80:80"),
        ("http://example.com:99999999", "http", "example.com"),
        ("http://exämple.com", "http", "example.com"),
    ],
)
def test_foreign_origin(origin, scheme, host):
    assert not is_same_origin(origin, scheme, host)


@pytest.mark.parametrize(
    ("rules", "origin", "allowed"),
    [
        (["https://a.com"], "https://a.com", True),
        (["https://a.com:443"], "https://a.com", True),
        (["HTTPS://A.com"], "https://a.com", True),
        (["https://a.com"], "http://a.com", False),
        (["https://a.com"], "https://a.com:8443", False),
        (["https://a.com"], "https://a.com.evil.com", False),
        (["https://*.a.com"], "https://x.a.com", True),
        (["https://*.a.com"], "https://x.y.a.com", True),
        (["https://*.a.com"], "https://a.com", False),
        (["https://*.a.com"], "https://evila.com", False),
        (["https://*.a.com"], "https://evil.com/.a.com", False),
        (["https://*.a.com"], "https://evil.com?.a.com", False),
        (["https://*.a.com"], "https://evil.com\\.a.com", False),
        (["https://*.a.com"], "https://x.a.com:8443", False),
        (["https://*.a.com:*"], "https://x.a.com:8443", True),
        (["https://*.a.com"], "https://xxa.com", False),
        (["http://localhost:*"], "http://localhost:5173", True),
        (["http://localhost:*"], "http://localhost", True),
        (["http://localhost:*"], "http://localhost:5173.evil.com", False),
        ([re.compile(r"https://[ab]\.com")], "https://b.com", True),
        ([re.compile(r"https://[ab]\.com")], "https://b.com.evil.com", False),
        (re.compile(r"https://[ab]\.com"), "https://a.com", True),
        ("https://a.com", "https://a.com", True),
        (["null"], "null", True),
        (["https://a.com"], "null", False),
        ("*", "null", True),
        (["*"], "https://evil.com", True),
        ([], "https://a.com", False),
        ([None], "https://a.com", False),
        (["moz-extension://0a1b"], "moz-extension://0a1b", True),
    ],
)
def test_origin_rules(rules, origin, allowed):
    assert OriginRules(rules).allow(origin) is allowed


@pytest.mark.parametrize("rule", ["example.com", "https://a.com/", "https://a.com/x", "https://a*"])
def test_what_is_no_origin(rule):
    with pytest.raises(ValueError, match="not an origin: "):
        OriginRules([rule])


@pytest.mark.parametrize("rules", [5, [5], [b"https://a.com"]])
def test_what_is_no_list_of_origins(rules):
    with pytest.raises(TypeError):
        OriginRules(rules)


@pytest.mark.parametrize(
    ("rules", "host", "allowed"),
    [
        (["a.com"], "a.com", True),
        (["a.com"], "A.com.", True),
        (["a.com"], "a.com:8000", True),
        (["a.com:8000"], "a.com:8000", True),
        (["a.com:8000"], "a.com", False),
        (["a.com"], "evil.com", False),
        (["a.com"], "", False),
        (["a.com"], "a.com/evil", False),
        (["a.com"], "evil@a.com", False),
        (["*.a.com"], "x.a.com:80", True),
        (["*.a.com"], "a.com", False),
        (["*.a.com:80"], "x.a.com:81", False),
        (["[::1]"], "[::1]:8000", True),
        (["127.0.0.1"], "127.0.0.1", True),
        ([re.compile(r"a\d\.com(:\d+)?")], "a7.com:80", True),
        ("*", "anything", True),
        (["*"], "", True),
    ],
)
def test_host_rules(rules, host, allowed):
    assert HostRules(rules).allow(host) is allowed


@pytest.mark.parametrize("rule", ["http://a.com", "a.com/x", "a b", "", "a*.com"])
def test_what_is_no_host(rule):
    with pytest.raises(ValueError, match="not a host: "):
        HostRules([rule])
    with pytest.raises(TypeError):
        HostRules([None])


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("testclient", "testclient"),
        ("x" * 1000, "x" * 64),
        (":" * 1000, ":" * 64),
        ("", None),
        (None, None),
    ],
)
def test_client_key(address, key):
    assert client_key(address) == key


def test_loopback():
    for name in ("localhost", "LocalHost.", "a.localhost", "127.1.2.3", "::1", "[::1]"):
        assert is_loopback(name)
    assert is_loopback("::ffff:127.0.0.1")
    assert is_loopback("0:0:0:0:0:0:0:1")
    for name in ("example.com", "localhost.evil.com", "10.0.0.1", "::2", "", None, "notlocalhost"):
        assert not is_loopback(name)
