from __future__ import annotations

import pytest

from duologue.wire.idna import domain_to_ascii


@pytest.mark.parametrize(
    ("domain", "name"),
    [
        ("", ""),
        ("A.b", "a.b"),
        ("a--b", "a--b"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("bu\u0308cher", "xn--bcher-kva"),
        ("xn--bcher-kva", "xn--bcher-kva"),
        ("XN--BCHER-KVA", "xn--bcher-kva"),
        ("faß.de", "xn--fa-hia.de"),
        ("FAẞ.de", "xn--fa-hia.de"),
        ("βόλος", "xn--nxasmm1c"),
        ("日本語。jp", "xn--wgv71a119e.jp"),
        ("a\uff0eb\uff61c", "a.b.c"),
        ("ＧＯ.com", "go.com"),
        ("a\u00ad\u200b\u2060\ufe0fb", "ab"),
        ("㎒", "mhz"),
        ("☃.net", "xn--n3h.net"),
        ("😀", "xn--e28h"),
        ("क्\u200dष", "xn--11b2ezcw70k"),
        ("אב.com", "xn--4dbc.com"),
        ("א1ב", "xn--1-zhce"),
        ("1.אב", None),
        ("אa", None),
        ("aא", None),
        ("1א", None),
        ("א١1", None),
        ("א.a!", None),
        ("\u0308a", None),
        ("a\u200db", None),
        ("\u200c", None),
        ("a\u200eb", None),
        ("\ue000", None),
        ("\U000e0001", None),
        ("\u0378", None),
        ("\ufffd", None),
        ("a\u0085", None),
        ("xn--", None),
        ("xn--a", None),
        ("xn--a-", None),
        ("xn--99999999", None),
        ("xn--BCHER-kva1\u00fc", None),
        ("xn--ls8h=", None),
        # What these stand for, a capital and a full stop of another script, is not in a label.
        ("xn--" + "Ü".encode("punycode").decode(), None),
        ("xn--" + "a。b".encode("punycode").decode(), None),
    ],
)
def test_domain_to_ascii(domain, name):
    if name is None:
        with pytest.raises(ValueError):
            domain_to_ascii(domain)
    else:
        assert domain_to_ascii(domain) == name
        assert domain_to_ascii(name) == name
