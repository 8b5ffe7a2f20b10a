from __future__ import annotations

import pytest
import websockets.headers

from duologue.base.exceptions import InvalidHeaderFormat, InvalidHeaderValue
from duologue.wire import grammar
from duologue.wire.grammar import (
    build_authorization_basic,
    build_extension,
    build_host,
    build_subprotocol,
    build_www_authenticate_basic,
    is_token,
    parse_authorization_basic,
    parse_connection,
    parse_extension,
    parse_subprotocol,
    parse_upgrade,
    validate_subprotocols,
)


def test_has_the_names_of_websockets():
    assert set(websockets.headers.__all__) <= set(grammar.__all__)
    assert grammar.parse_extension_list is parse_extension
    assert grammar.build_subprotocol_list is build_subprotocol


@pytest.mark.parametrize(
    ("arguments", "host"),
    [
        (("localhost", 80, False), "localhost"),
        (("localhost", 80, True), "localhost:80"),
        (("localhost", 443, True), "localhost"),
        (("localhost", 8000, False), "localhost:8000"),
        (("127.0.0.1", 80, False), "127.0.0.1"),
        (("::1", 80, False), "[::1]"),
        (("::1", 8000, True), "[::1]:8000"),
    ],
)
def test_build_host(arguments, host):
    assert build_host(*arguments) == host


def test_build_host_with_the_default_port():
    assert build_host("h", 443, True, always_include_port=True) == "h:443"
    assert build_host("::1", 80, False, always_include_port=True) == "[::1]:80"


LISTS = {
    "a": ["a"],
    "a,b": ["a", "b"],
    "a , b": ["a", "b"],
    ",\t, a, ,,b,": ["a", "b"],
    "keep-alive, Upgrade": ["keep-alive", "Upgrade"],
    "a ": ["a"],
    "!#$%&'*+-.^_`|~09azAZ": ["!#$%&'*+-.^_`|~09azAZ"],
}
NOT_LISTS = ["", ",", " ", "a b", "a;b", "a, é", '"a"', "a=b", "a,, @", "a\x00"]


@pytest.mark.parametrize("parse", [parse_connection, parse_upgrade, parse_subprotocol])
@pytest.mark.parametrize("value", LISTS)
def test_lists(parse, value):
    assert parse(value) == LISTS[value]


@pytest.mark.parametrize("parse", [parse_connection, parse_upgrade, parse_subprotocol])
@pytest.mark.parametrize("value", NOT_LISTS)
def test_not_lists(parse, value):
    with pytest.raises(InvalidHeaderFormat):
        parse(value)


def test_errors_name_header_expectation_and_place():
    with pytest.raises(InvalidHeaderFormat) as info:
        parse_connection("a b")
    assert str(info.value) == "invalid Connection header: expected comma at 2 in a b"
    with pytest.raises(InvalidHeaderFormat, match="Upgrade header: expected protocol at 0 in ="):
        parse_upgrade("=")
    with pytest.raises(InvalidHeaderFormat, match=r"Sec-WebSocket-Protocol.*expected token at 3"):
        parse_subprotocol("a, ;")


def test_upgrade_may_have_versions():
    assert parse_upgrade("websocket, h2c/1.0") == ["websocket", "h2c/1.0"]
    for value in ("a/", "/a", "a/b/c", "a /b"):
        with pytest.raises(InvalidHeaderFormat):
            parse_upgrade(value)


EXTENSIONS = {
    "foo": [("foo", [])],
    "foo, bar": [("foo", []), ("bar", [])],
    "foo; a; b=1; c=2": [("foo", [("a", None), ("b", "1"), ("c", "2")])],
    'foo ;a = "1" , , bar;b': [("foo", [("a", "1")]), ("bar", [("b", None)])],
    'foo; a="\\1\\0"': [("foo", [("a", "10")])],
    "foo; a; a": [("foo", [("a", None), ("a", None)])],
}


@pytest.mark.parametrize("value", EXTENSIONS)
def test_extensions(value):
    assert parse_extension(value) == EXTENSIONS[value]
    assert parse_extension(build_extension(EXTENSIONS[value])) == EXTENSIONS[value]


@pytest.mark.parametrize(
    "value",
    [
        "",
        ",",
        "foo;",
        "foo; ",
        "foo;;a",
        "foo; a=",
        "foo; =1",
        'foo; a="',
        'foo; a=""',
        'foo; a="1 2"',
        'foo; a="x',
        'foo; a="1"2',
        "foo; a=1=2",
        "foo a",
        "foo; a b",
        "a\tb",
    ],
)
def test_not_extensions(value):
    with pytest.raises(InvalidHeaderFormat):
        parse_extension(value)


def test_quoted_content_error_points_at_the_quote():
    with pytest.raises(InvalidHeaderFormat, match="invalid quoted header content at 7 in"):
        parse_extension('foo; a="1 2"')


def test_build_extension():
    value = [("foo", [("a", None), ("b", "1")]), ("bar", [])]
    assert build_extension(value) == "foo; a; b=1, bar"


def test_long_values_take_linear_time():
    # A backtracking parser would not come back from these.
    size = 100_000
    for value in ("," * size, "a" + " " * size + "b", 'a; b="' + "\\" * size):
        with pytest.raises(InvalidHeaderFormat):
            parse_extension(value)
    assert len(parse_extension("a," * size)) == size


def test_subprotocols():
    assert build_subprotocol(["chat", "v1.x"]) == "chat, v1.x"
    validate_subprotocols(["chat", "v1.x"])
    validate_subprotocols(())
    for wrong, name in (("chat", "str"), (None, "NoneType"), ({"chat"}, "set"), (1, "int")):
        with pytest.raises(TypeError, match=f"not a {name}"):
            validate_subprotocols(wrong)
    for name in ("", "a b", "a,b", "é", "a\r\n"):
        with pytest.raises(ValueError, match="invalid subprotocol"):
            validate_subprotocols(["ok", name])


def test_is_token():
    separators = '()<>@,;:\\"/[]?={} \t\x7f'
    assert all(is_token(chr(code)) != (chr(code) in separators) for code in range(0x20, 0x80))
    assert not is_token("a\n")


@pytest.mark.parametrize(
    "credentials",
    [("hello", "iloveyou"), ("", ""), ("user", "pass:word"), ("é", "中"), ("\udcff", "x")],
)
def test_basic_credentials_round_trip(credentials):
    header = build_authorization_basic(*credentials)
    assert header == websockets.headers.build_authorization_basic(*credentials)
    assert parse_authorization_basic(header) == credentials


def test_basic_scheme_in_any_case():
    assert parse_authorization_basic("bASIC aGVsbG86aWxvdmV5b3U=") == ("hello", "iloveyou")


@pytest.mark.parametrize(
    ("header", "error"),
    [
        ("", InvalidHeaderFormat),
        ("Digest abc", InvalidHeaderValue),
        ("Basic", InvalidHeaderFormat),
        ("Basic ", InvalidHeaderFormat),
        ("Basic\taGVsbG86", InvalidHeaderFormat),
        ("Basic aGVsbG86 x", InvalidHeaderFormat),
        ("Basic aGVsbG8=", InvalidHeaderValue),
        ("Basic aGVsbG8", InvalidHeaderValue),
        ("Basic a~~~", InvalidHeaderValue),
    ],
)
def test_not_basic_credentials(header, error):
    with pytest.raises(error, match="Authorization"):
        parse_authorization_basic(header)


def test_user_names_have_no_colon():
    with pytest.raises(ValueError, match="no colon"):
        build_authorization_basic("a:b", "c")


def test_www_authenticate():
    assert build_www_authenticate_basic('a "b\\c"') == (
        'Basic realm="a \\"b\\\\c\\"", charset="UTF-8"'
    )
    for realm in ("\r\nX: y", "\0", "中"):
        with pytest.raises(ValueError, match="cannot be quoted"):
            build_www_authenticate_basic(realm)
