from __future__ import annotations

import ipaddress
import re
import urllib.parse

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from duologue.base.exceptions import InvalidURI
from duologue.wire.host import parse_host
from duologue.wire.uri import parse_uri, parse_url

websockets_uri = pytest.importorskip("websockets.uri")

PIECES = ["ws:", "wss:", "http:", "//", "/", "\\", "h", "B.c", "..", ".", "%2e", "?", "#", "@", ":"]
PIECES += [
    ":80",
    ":443",
    "[::1]",
    "1.2",
    "0x7f",
    " ",
    "\t",
    "\x7f",
    "é",
    "%",
    "%41",
    "^",
    "<",
    "xn--",
]
soup = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=8).map("".join)
urls = soup | soup.map("ws://".__add__) | soup.map("https://u:p@h:1".__add__)
bases = st.sampled_from([None, "ws://base/a/b?c#d", "https://u:p@h:444"])


@given(urls, bases)
@example("\udfff", "ws://base/")
def test_parsing_fails_clearly_or_is_stable(url, base):
    try:
        parsed = parse_url(url, base)
    except InvalidURI as exc:
        assert exc.uri == url
        return
    assert parse_url(parsed.href) == parsed
    assert re.fullmatch(r"wss?://[!-~]+", parsed.href)
    assert re.fullmatch(r"/[!-\"$-~]*", parsed.resource_name)
    assert not {".", ".."} & set(parsed.path.split("/"))
    assert parsed.port != (443 if parsed.secure else 80)


names = st.from_regex(r"[A-Za-z]{1,8}(\.[A-Za-z]{1,8}){0,2}", fullmatch=True)
paths = st.from_regex(r"(/[A-Za-z0-9_~!$&'()*+,;=:@-]{1,6}){0,4}", fullmatch=True)
queries = st.from_regex(r"(\?[A-Za-z0-9_~!$&()*+,;=:@/?-]{1,9})?", fullmatch=True)
ports = st.one_of(st.just(""), st.integers(1, 65535).map(":{}".format))
userinfos = st.one_of(st.just(""), st.from_regex(r"[a-z0-9]{1,5}:[a-z0-9]{0,5}@", fullmatch=True))


@given(st.sampled_from(["ws", "WSS"]), userinfos, names, ports, paths, queries)
def test_plain_uris_mean_what_websockets_and_urllib_say(scheme, userinfo, name, port, path, query):
    text = f"{scheme}://{userinfo}{name}{port}{path}{query}"
    ours, theirs = parse_uri(text), websockets_uri.parse_uri(text)
    assert (ours.secure, ours.host, ours.port) == (theirs.secure, theirs.host, theirs.port)
    assert (ours.path, ours.query) == (theirs.path or "/", theirs.query)
    assert ours.user_info == theirs.user_info
    assert ours.resource_name == theirs.resource_name
    split = urllib.parse.urlsplit(parse_url(text).href)
    assert (split.hostname, split.path, split.query) == (ours.host, ours.path, ours.query)


@given(st.text(max_size=20))
def test_queries_keep_their_text(text):
    quoted = urllib.parse.quote(text, safe="")
    assert parse_url(f"ws://h/?{quoted}").query == quoted
    query = parse_url(f"ws://h/?x{text}x").query
    kept = f"x{text}x".translate({9: None, 10: None, 13: None}).partition("#")[0]
    assert urllib.parse.unquote(query) == urllib.parse.unquote(kept)


@given(st.integers(0, 2**32 - 1), st.data())
def test_every_notation_of_an_ipv4_address(number, data):
    octets = [number >> shift & 255 for shift in (24, 16, 8, 0)]
    parts = data.draw(st.integers(1, 4))
    values = [*octets[: parts - 1], number & 256 ** (5 - parts) - 1]
    notations = st.sampled_from(["{}", "0{:o}", "0x{:x}", "0X{:X}", "000{:o}"])
    text = ".".join(data.draw(notations).format(value) for value in values)
    assert parse_host(text) == str(ipaddress.IPv4Address(number))
    assert parse_host(text + ".") == str(ipaddress.IPv4Address(number))


@given(st.one_of(st.integers(0, 2**128 - 1), st.integers(0, 2**32).map(lambda n: n << 64 | n)))
def test_every_notation_of_an_ipv6_address(number):
    address = ipaddress.IPv6Address(number)
    host = parse_host(f"[{address.exploded.upper()}]")
    assert host == parse_host(f"[{address.compressed}]")
    assert ipaddress.IPv6Address(host[1:-1]) == address
    if address.ipv4_mapped is None:
        assert host == f"[{address.compressed}]"


labels = st.text(st.characters(categories=["Ll", "Lo", "Nd"]), min_size=1, max_size=8)


@given(labels)
def test_international_names_round_trip_through_punycode(label):
    try:
        host = parse_host(label)
    except ValueError:
        return
    assert parse_host(host) == host
    assert host.isascii()
    for part in host.split("."):
        if part.startswith("xn--"):
            # Idempotent also from the other side: what it stands for encodes to it again.
            assert parse_host(part[4:].encode().decode("punycode")) == part
