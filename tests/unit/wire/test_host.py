from __future__ import annotations

import pytest

from duologue.wire.host import parse_host

# Vectors written from the algorithms of the URL Standard, sections 3.5 and 3.6.


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("example.com", "example.com"),
        ("EXAMPLE.Com", "example.com"),
        ("example.com.", "example.com."),
        ("a_b", "a_b"),
        ("-a-.b", "-a-.b"),
        ("a..b", "a..b"),
        ("%65x", "ex"),
        ("ex%C3%A4mple", "xn--exmple-cua"),
        ("%E3%81%82", "xn--l8j"),
        ("a!$&'()*+,;=~\"{}", "a!$&'()*+,;=~\"{}"),
        ("x" * 300, "x" * 300),
    ],
)
def test_domains(text, host):
    assert parse_host(text) == host
    assert parse_host(host) == host


@pytest.mark.parametrize("char", list(" #%/:<>?@[\\]^|\x00\t\n\r\x1f\x7f"))
def test_forbidden_code_points(char):
    with pytest.raises(ValueError):
        parse_host(f"a{char}b")
    with pytest.raises(ValueError):
        parse_host(f"a%{ord(char):02X}b")


@pytest.mark.parametrize("text", ["", "%ff", "%ED%A0%80", "\u00ad", "%C2%AD", "a\ufffdb"])
def test_empty_or_undecodable(text):
    with pytest.raises(ValueError):
        parse_host(text)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("1.2.3.4.", "1.2.3.4"),
        ("0x7f.1", "127.0.0.1"),
        ("0X7F.0x0.0x0.0x1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("017.1", "15.0.0.1"),
        ("1.2.772", "1.2.3.4"),
        ("4294967295", "255.255.255.255"),
        ("0xffffffff", "255.255.255.255"),
        ("037777777777", "255.255.255.255"),
        ("0", "0.0.0.0"),
        ("0x", "0.0.0.0"),
        ("0x.0x", "0.0.0.0"),
        ("00000000000000000000000000001", "0.0.0.1"),
        ("１２７.1", "127.0.0.1"),
        ("%31.%32.3.4", "1.2.3.4"),
        ("1.2.3.x", "1.2.3.x"),
        ("1.2.3.4x", "1.2.3.4x"),
        ("1.0xg", "1.0xg"),
        ("1x.a", "1x.a"),
    ],
)
def test_ipv4(text, host):
    assert parse_host(text) == host
    assert parse_host(host) == host


@pytest.mark.parametrize(
    "text",
    [
        "1.2.3.4.5",
        "256.1.1.1",
        "1.2.3.256",
        "1.2.65536",
        "1.16777216",
        "4294967296",
        "0x100000000",
        "09",
        "1.08",
        "a.1",
        "1..2",
        ".1",
        "a.0x",
        "a.09",
        "9" * 5000,
        "0x" + "f" * 5000,
    ],
)
def test_not_ipv4(text):
    with pytest.raises(ValueError):
        parse_host(text)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("[::]", "[::]"),
        ("[::1]", "[::1]"),
        ("[1::]", "[1::]"),
        ("[0:0:0:0:0:0:0:1]", "[::1]"),
        ("[2001:DB8:0:0:1:0:0:1]", "[2001:db8::1:0:0:1]"),
        ("[1:0:0:2:0:0:0:3]", "[1:0:0:2::3]"),
        ("[1:0:2:3:4:5:6:7]", "[1:0:2:3:4:5:6:7]"),
        ("[1:2:3:4:5:6:7::]", "[1:2:3:4:5:6:7:0]"),
        ("[0001:0010:0100:1000::]", "[1:10:100:1000::]"),
        ("[::ffff:1.2.3.4]", "[::ffff:102:304]"),
        ("[64:ff9b::192.0.2.33]", "[64:ff9b::c000:221]"),
    ],
)
def test_ipv6(text, host):
    assert parse_host(text) == host
    assert parse_host(host) == host


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "[]",
        "[::1",
        "[:]",
        "[:::]",
        "[1:2:3:4:5:6:7]",
        "[1:2:3:4:5:6:7:8:9]",
        "[1:2:3:4::5:6:7:8]",
        "[1::2::3]",
        "[12345::]",
        "[g::]",
        "[::1%25eth0]",
        "[::1%eth0]",
        "[::1.2.3]",
        "[::1.2.3.04]",
        "[::1.2.3.256]",
        "[1.2.3.4::]",
        "[1.2.3.4]",
        "[::1]a",
        "a[::1]",
        "[ ::1]",
    ],
)
def test_not_ipv6(text):
    with pytest.raises(ValueError):
        parse_host(text)
