from __future__ import annotations

import dataclasses

import pytest
import websockets.exceptions
import websockets.uri

from duologue.base.exceptions import InvalidURI
from duologue.wire.uri import URL, WebSocketURI, parse_uri, parse_url

BASE = "https://user:pw@base.example:444/a/b/c?q#f"


@pytest.mark.parametrize(
    ("url", "href"),
    [
        ("ws://h", "ws://h/"),
        ("WS://H:80", "ws://h/"),
        ("wss://h:443/", "wss://h/"),
        ("ws://h:443/", "ws://h:443/"),
        ("wss://h:80/", "wss://h:80/"),
        ("http://h:80/", "ws://h/"),
        ("HTTPS://h:443/", "wss://h/"),
        ("https://h:443/a?é", "wss://h/a?%C3%A9"),
        ("ws://h:", "ws://h/"),
        ("ws://h:00080/", "ws://h/"),
        ("ws://h:0/", "ws://h:0/"),
        ("ws://h:065535", "ws://h:65535/"),
        ("ws://h?", "ws://h/?"),
        ("ws://h?a=b", "ws://h/?a=b"),
        ("ws://h#", "ws://h/#"),
        ("ws://h/#a b", "ws://h/#a%20b"),
        ("  \x00\x1fws://h/ \n", "ws://h/"),
        ("w\ns:/\t/h\r/a\tb", "ws://h/ab"),
        ("ws:h/a", "ws://h/a"),
        ("ws:/h/a", "ws://h/a"),
        ("ws:////h//a", "ws://h//a"),
        ("ws:\\\\h\\a\\b", "ws://h/a/b"),
        ("ws://h/a\\b?c\\d#e\\f", "ws://h/a/b?c\\d#e\\f"),
        ("ws://h/a/./b/../c", "ws://h/a/c"),
        ("ws://h/a/.", "ws://h/a/"),
        ("ws://h/a/..", "ws://h/"),
        ("ws://h/../../a", "ws://h/a"),
        ("ws://h/a/%2e/%2E%2e/b", "ws://h/b"),
        ("ws://h/a/.%2e", "ws://h/"),
        ("ws://h/a//../b", "ws://h/a/b"),
        ("ws://h/...", "ws://h/..."),
        ("ws://h/a?../b", "ws://h/a?../b"),
        ("ws://h/%41%zz%", "ws://h/%41%zz%"),
        ('ws://h/ "#', "ws://h/%20%22#"),
        (
            "ws://h/!$&'()*+,;=:@[]|~\"<>^`{}é",
            "ws://h/!$&'()*+,;=:@[]|~%22%3C%3E%5E%60%7B%7D%C3%A9",
        ),
        (
            "ws://h/?!$&'()*+,;=:@[]|~\"<>^`{}é/?",
            "ws://h/?!$&%27()*+,;=:@[]|~%22%3C%3E^`{}%C3%A9/?",
        ),
        ("ws://h/#!'|\"<>^`{}é#?", "ws://h/#!'|%22%3C%3E^%60{}%C3%A9#?"),
        ("ws://h/\x7f\x01x", "ws://h/%7F%01x"),
        ("ws://h/\ud800", "ws://h/%EF%BF%BD"),
        ("ws://h/\ud83d\ude00", "ws://h/%F0%9F%98%80"),
        ("ws://u:p@h/", "ws://u:p@h/"),
        ("ws://u@h/", "ws://u@h/"),
        ("ws://u:@h/", "ws://u@h/"),
        ("ws://:p@h/", "ws://:p@h/"),
        ("ws://@h/", "ws://h/"),
        ("ws://:@h/", "ws://h/"),
        ("ws://a@b:c:d@h/", "ws://a%40b:c%3Ad@h/"),
        ("ws://|^é;=[]:%41@h/", "ws://%7C%5E%C3%A9%3B%3D%5B%5D:%41@h/"),
        ("ws://EXAMPLE.com/", "ws://example.com/"),
        ("ws://bücher.example/", "ws://xn--bcher-kva.example/"),
        ("ws://%65x/", "ws://ex/"),
        ("ws://0x7f.1/", "ws://127.0.0.1/"),
        ("ws://[0:0::1]:80/", "ws://[::1]/"),
        ("ws://[::1]:8001/", "ws://[::1]:8001/"),
        ("ws://[::FFFF:1.2.3.4]/", "ws://[::ffff:102:304]/"),
    ],
)
def test_absolute_urls(url, href):
    parsed = parse_url(url)
    assert parsed.href == str(parsed) == href
    assert parse_url(href) == parsed
    # A base does not matter to them; "ws:h" is the exception, tested below.
    if "//" in url.replace("\\", "/").replace("\t", ""):
        assert parse_url(url, BASE) == parsed


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ws://foo bar.com/", "contains ' '"),
        ("ws://", "hostname isn't provided"),
        ("ws:", "hostname isn't provided"),
        ("ws:///", "hostname isn't provided"),
        ("ws://?a", "hostname isn't provided"),
        ("ws://:80", "hostname isn't provided"),
        ("ws://u@", "hostname isn't provided"),
        ("ws://u@:80/", "hostname isn't provided"),
        ("ws://h:x/", "invalid port: 'x'"),
        ("ws://h:8 0/", "invalid port"),
        ("ws://h:-1/", "invalid port"),
        ("ws://h:1:2/", "invalid port"),
        ("ws://h:65536/", "port out of range: 65536"),
        ("ws://h:" + "9" * 5000, "port out of range"),
        ("ws://h:٣/", "invalid port"),
        ("ws://[::1", "closing bracket"),
        ("ws://[::1]a", "closing bracket"),
        ("ws://[::1%25lo]/", "invalid IPv6"),
        ("ws://1.2.3.256/", "invalid IPv4"),
        ("ws://a%00b/", "contains '\\x00'"),
        ("ws://%zz/", "contains '%'"),
        ("ftp://h/", "scheme isn't ws or wss"),
        ("mailto:a@h", "scheme isn't ws or wss"),
        ("about:blank", "scheme isn't ws or wss"),
        ("file:///a", "scheme isn't ws or wss"),
        ("1ws://h/", "scheme isn't ws or wss"),
        ("w s://h/", "scheme isn't ws or wss"),
        ("//h/", "scheme isn't ws or wss"),
        ("/a", "scheme isn't ws or wss"),
        ("", "scheme isn't ws or wss"),
    ],
)
def test_failures(url, message):
    with pytest.raises(InvalidURI) as info:
        parse_url(url)
    assert info.value.uri == url
    assert message in info.value.msg
    with pytest.raises(InvalidURI):
        parse_uri(url)


@pytest.mark.parametrize(
    ("url", "href"),
    [
        ("", "/a/b/c?q"),
        ("?", "/a/b/c?"),
        ("?x", "/a/b/c?x"),
        ("#x", "/a/b/c?q#x"),
        ("?x#y", "/a/b/c?x#y"),
        ("d", "/a/b/d"),
        ("d/", "/a/b/d/"),
        ("./d?x", "/a/b/d?x"),
        (".", "/a/b/"),
        ("..", "/a/"),
        ("../d", "/a/d"),
        ("../../../d", "/d"),
        ("/d", "/d"),
        ("\\d", "/d"),
        ("/", "/"),
        ("https:d", "/a/b/d"),
        ("https:/d", "/d"),
        ("https:\\d", "/d"),
        ("https:?x", "/a/b/c?x"),
        ("1:d", "/a/b/1:d"),
    ],
)
def test_relative_urls(url, href):
    assert parse_url(url, BASE).href == "wss://user:pw@base.example:444" + href


@pytest.mark.parametrize(
    ("url", "href"),
    [
        ("//other/x", "wss://other/x"),
        ("\\/other", "wss://other/"),
        ("https://other", "wss://other/"),
        ("http:other", "ws://other/"),
        ("ws:other", "ws://other/"),
        ("wss:/other", "wss://other/"),
    ],
)
def test_relative_urls_that_change_the_host(url, href):
    assert parse_url(url, BASE).href == href


def test_relative_to_a_parsed_base():
    base = parse_url("ws://h/a/b")
    assert parse_url("c", base).href == "ws://h/a/c"
    assert parse_url("ws:c", base).href == "ws://h/a/c"
    with pytest.raises(InvalidURI):
        parse_url("c", "mailto:x")
    with pytest.raises(InvalidURI):
        parse_url("ftp:c", base)


def test_parts():
    url = parse_url("https://u:p@H:8443/a b?c d#e f")
    assert dataclasses.asdict(url) == {
        "scheme": "wss",
        "username": "u",
        "password": "p",
        "host": "h",
        "port": 8443,
        "path": "/a%20b",
        "query": "c%20d",
        "fragment": "e%20f",
    }
    assert url.secure
    assert url.origin == "wss://h:8443"
    assert url.resource_name == "/a%20b?c%20d"
    plain = parse_url("ws://h")
    assert plain == URL("ws", "", "", "h", None, "/", None, None)
    assert not plain.secure
    assert plain.origin == "ws://h"
    assert plain.resource_name == "/"


def test_an_empty_fragment_is_told_from_none():
    assert parse_url("ws://h/#").fragment == ""
    assert parse_url("ws://h/").fragment is None
    assert parse_url("/#", "ws://h/").fragment == ""


# parse_uri

SAME_AS_WEBSOCKETS = [
    "ws://localhost/",
    "wss://localhost/",
    "ws://localhost:8001/path?query",
    "ws://localhost/path;params",
    "WS://LOCALHOST/PATH?QUERY",
    "ws://user:pass@localhost/",
    "ws://:pass@localhost/",
    "ws://user:@localhost/",
    "ws://us%3Aer:p%40ss%C3%A9@localhost/",
    "ws://høst/",
    "ws://høst/πass?qùéry",
    "ws://[::1]/",
    "wss://[::1]:8443/",
    "ws://127.0.0.1/",
    "ws://localhost?a",
]


@pytest.mark.parametrize("uri", SAME_AS_WEBSOCKETS)
def test_parse_uri_says_what_websockets_says(uri):
    ours, theirs = parse_uri(uri), websockets.uri.parse_uri(uri)
    for name in ("secure", "host", "port", "query", "username", "password"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.path == (theirs.path or "/")
    assert ours.resource_name == theirs.resource_name
    assert ours.user_info == theirs.user_info


@pytest.mark.parametrize(
    "uri",
    [
        "http://localhost/",
        "https://localhost/",
        "http://localhost:path/",
        "ws:///path",
        "ws:path",
        "ws:/path",
        "ws://localhost/path#fragment",
        "ws://user@localhost/",
        "//localhost/",
        "localhost",
    ],
)
def test_parse_uri_refuses_what_websockets_refuses(uri):
    with pytest.raises((websockets.exceptions.InvalidURI, ValueError)):
        websockets.uri.parse_uri(uri)
    with pytest.raises(InvalidURI):
        parse_uri(uri)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("http://h/", "scheme isn't ws or wss"),
        ("ws:///", "hostname isn't provided"),
        ("ws://h/#", "fragment identifier is meaningless"),
        ("ws://h/#x", "fragment identifier is meaningless"),
        ("ws://user@h/", "username provided without password"),
        ("ws://%ff:x@h/", "username or password isn't UTF-8"),
    ],
)
def test_parse_uri_tells_what_is_wrong(uri, message):
    with pytest.raises(InvalidURI) as info:
        parse_uri(uri)
    assert str(info.value) == f"{uri} isn't a valid URI: {message}"


def test_resource_name_cannot_break_out_of_the_request_line():
    uri = parse_uri("ws://h/a b\r\nX: y\x0b?c d\u2028")
    assert uri.resource_name == "/a%20bX:%20y%0B?c%20d%E2%80%A8"


def test_websocket_uri_by_hand():
    uri = WebSocketURI(False, "h", 80, "", "")
    assert uri.resource_name == "/"
    assert uri.user_info is None
    assert dataclasses.replace(uri, query="a", username="u", password="").user_info == ("u", "")
