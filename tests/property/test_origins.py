"""Whatever a peer sends as origin or host, the rules say yes or no, and yes only with a reason."""

from __future__ import annotations

from urllib.parse import urlsplit

from hypothesis import given
from hypothesis import strategies as st

from duologue.app.guard.addresses import client_key, is_loopback
from duologue.app.guard.origins import HostRules, OriginRules, is_same_origin

# fmt: off
PIECES = st.sampled_from([
    "http", "https", "://", ":", "/", "\\", "@", "?", "#", "[", "]", "::1", "*", ".", "..", "null",
    "example.com", "evil.com", "a", "80", "443", "%", "é", "İ",
])
# fmt: on
JUNK = st.one_of(
    st.just(""), st.text(max_size=9), st.lists(PIECES, max_size=4).map("".join), st.just(".a.")
)
NAMES = st.sampled_from(["example.com", "EXAMPLE.com", "a.example.com", "localhost", "[::1]"])
PORTS = st.sampled_from(["", ":", ":80", ":443", ":8000", ":0080", ":99999", ":8000:80"])
NEAR_HOSTS = st.builds("{}{}{}{}".format, JUNK, NAMES, PORTS, JUNK)
NEAR_ORIGINS = st.builds("{}://{}".format, st.sampled_from(["http", "https", "HTTPS"]), NEAR_HOSTS)
HOSTILE = st.one_of(
    st.text(max_size=60), NEAR_HOSTS, NEAR_ORIGINS, st.builds(str.strip, NEAR_HOSTS)
)
ORIGINS = OriginRules(["https://example.com", "https://*.example.com:*", "http://localhost:*"])
HOSTS = HostRules(["example.com", "*.example.com:8000"])


@given(NEAR_ORIGINS, NEAR_HOSTS, st.sampled_from(["http", "https"]))
def test_same_origin_means_the_same_host(origin: str, host: str, scheme: str) -> None:
    if is_same_origin(origin, scheme, host):
        page = urlsplit(origin)
        assert page.scheme == scheme or page.scheme == "https"
        assert page.hostname is not None
        assert host.lower().startswith((page.hostname.rstrip("."), "["))
        assert page.username is None
        assert page.path in ("", "/")


@given(HOSTILE)
def test_an_origin_that_passes_is_of_the_site(origin: str) -> None:
    if ORIGINS.allow(origin):
        host = urlsplit(origin).hostname
        assert host is not None
        assert host in ("example.com", "localhost") or host.endswith(".example.com")
        assert "@" not in origin


@given(HOSTILE)
def test_a_host_that_passes_is_of_the_site(host: str) -> None:
    if HOSTS.allow(host):
        name = urlsplit(f"//{host}").hostname
        assert name is not None
        assert name.rstrip(".") == "example.com" or name.rstrip(".").endswith(".example.com")


@given(HOSTILE)
def test_keys_are_short(address: str) -> None:
    key = client_key(address)
    assert key is None or 0 < len(key) <= 64
    assert is_loopback(address) in (True, False)
