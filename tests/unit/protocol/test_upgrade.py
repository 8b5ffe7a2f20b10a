"""What `Upgrades` recognises, remembers and answers, head by head.

That it agrees with the general way is for tests/property/test_upgrade.py.
"""

from __future__ import annotations

import os
import time
from base64 import b64encode
from typing import Any

import pytest

from duologue.base.limits import DEFAULT_LIMITS, Limits
from duologue.protocol import upgrade
from duologue.protocol.handshake import accept_key
from duologue.protocol.upgrade import LONGEST_VALUES, REMEMBERED, Upgrades
from duologue.wire.permessage_deflate import ServerPerMessageDeflateFactory

LINES = {
    "Host": "localhost:80",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def head(path: str = "/", end: str = "\r\n", **changed: str | None) -> bytes:
    lines = LINES | {name.replace("_", "-"): value for name, value in changed.items()}
    fields = [f"{name}: {value}\r\n" for name, value in lines.items() if value is not None]
    return f"GET {path} HTTP/1.1\r\n{''.join(fields)}{end}".encode("latin-1")


def upgrades(**options: Any) -> Upgrades:
    return Upgrades(options.pop("limits", DEFAULT_LIMITS), **options)


def test_keys_are_answered_as_openssl_would() -> None:
    one = upgrades()
    for _ in range(200):
        key = b64encode(os.urandom(16)).decode()
        found = one.answer(head(Sec_WebSocket_Key=key))
        assert found is not None
        assert f"\r\nSec-WebSocket-Accept: {accept_key(key)}\r\n".encode() in found[0]


@pytest.mark.parametrize(
    "changed",
    [{name.replace("-", "_"): None} for name in LINES]
    + [
        {"Host": "local host"},
        {"Host": ":80"},
        {"Host": "localhost:http"},
        {"Upgrade": "websockets"},
        {"Upgrade": "h2c"},
        {"Connection": "keep-alive"},
        {"Connection": "close"},
        {"Sec_WebSocket_Version": "1"},
        {"Sec_WebSocket_Version": "130"},
        {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ="},
        {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZ!=="},
        {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZR=="},
        {"Content_Length": "0"},
        {"Transfer_Encoding": "chunked"},
        {"Expect": "100-continue"},
        {"Trailer": "a"},
        {"Proxy_Connection": "keep-alive"},
        {"Origin": ""},
        {"X_Tab": "a\tb"},
        {"X_Latin": "é"},
        {"path": "*"},
        {"path": "http://localhost/"},
        {"path": "/#a"},
        {"path": "/ a"},
        {"end": ""},
        {"end": "\r"},
        {"end": "HOST: again\r\n\r\n"},
    ],
    ids=str,
)
def test_what_is_not_ordinary_is_left_alone(changed: dict[str, Any]) -> None:
    assert upgrades().answer(head()) is not None
    assert upgrades().answer(head(**changed)) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"Host": "a-b.example_c.org"},
        {"Host": "localhost:"},
        {"Connection": "keep-alive, Upgrade"},
        {"Connection": "UPGRADE"},
        {"Upgrade": "WebSocket"},
        {"X_Empty": ""},
        {"path": "/a%20b/c?d=e&f=(g)"},
    ],
    ids=str,
)
def test_what_differs_and_is_ordinary(changed: dict[str, Any]) -> None:
    assert upgrades().answer(head(**changed)) is not None


def test_limits() -> None:
    octets = head()
    for limits, fine in (
        (Limits(max_headers=5), True),
        (Limits(max_headers=4), False),
        (Limits(max_head=len(octets)), True),
        (Limits(max_head=len(octets) - 1), False),
        (Limits(max_line=len(octets) - 1), False),
        (Limits(max_line=None, max_head=None, max_headers=None), True),
    ):
        assert (upgrades(limits=limits).answer(octets) is not None) == fine


class Counted(ServerPerMessageDeflateFactory):
    """Counts how often it is asked; not the class that is known to say always the same."""

    asked = 0

    def process_request_params(self, *args: Any) -> Any:
        self.asked += 1
        return super().process_request_params(*args)


def test_other_factories_are_asked_by_the_general_way() -> None:
    factory = Counted()
    one = upgrades(extensions=[factory])
    assert one.answer(head(Sec_WebSocket_Extensions="permessage-deflate")) is None
    assert one.answer(head()) is not None
    assert factory.asked == 0


def learned(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Note each time that the general way is asked."""
    asked: list[Any] = []
    original = upgrade.negotiate  # type: ignore[attr-defined]

    def negotiate(request: Any, **options: Any) -> Any:
        asked.append(request)
        return original(request, **options)

    monkeypatch.setattr(upgrade, "negotiate", negotiate)
    return asked


def test_the_general_way_is_asked_once_for_each_set_of_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = learned(monkeypatch)
    one = upgrades(subprotocols=["a", "b"])
    for _ in range(3):
        for offered, chosen in (("a", "a"), ("b, c", "b")):
            found = one.answer(head(Sec_WebSocket_Protocol=offered))
            assert found is not None
            assert found[2] == chosen
        # Refusals are remembered as well.
        assert one.answer(head(Sec_WebSocket_Protocol="c")) is None
        assert one.answer(head()) is None
    assert len(asked) == 4


def test_origins_are_remembered_with_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = learned(monkeypatch)
    one = upgrades(origins=["http://a"])
    for _ in range(3):
        assert one.answer(head(Origin="http://a")) is not None
        assert one.answer(head(Origin="http://b")) is None
    assert len(asked) == 2
    asked.clear()
    anybody = upgrades()
    for origin in ("http://a", "http://b"):
        found = anybody.answer(head(Origin=origin))
        assert found is not None
        assert found[3] == origin
    assert len(asked) == 1, "who accepts all origins needs to remember none"


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = learned(monkeypatch)
    one = upgrades()
    for number in range(REMEMBERED):
        assert one.answer(head(Sec_WebSocket_Protocol=f"p{number}")) is not None
    assert one.answer(head(Sec_WebSocket_Protocol="p0")) is not None
    assert len(asked) == REMEMBERED
    assert one.answer(head(Sec_WebSocket_Protocol="more")) is not None
    assert one.answer(head(Sec_WebSocket_Protocol="p0")) is not None
    assert len(asked) == REMEMBERED + 2, "all were forgotten for one more"
    assert one.answer(head(Sec_WebSocket_Protocol="p" * LONGEST_VALUES)) is not None
    assert one.answer(head(Sec_WebSocket_Protocol="p" * (LONGEST_VALUES + 1))) is None


def test_the_date_is_the_second_s() -> None:
    one = upgrades()
    first = one.answer(head())
    assert first is not None
    while (now := one.answer(head())) is not None and now[0] == first[0]:
        time.sleep(0.01)
    assert now is not None
    assert now[0][:37] == first[0][:37]
    assert len(now[0]) == len(first[0])


def test_who_may_be_using_our_cookies() -> None:
    for origin, cookie, questionable in (
        ("http://localhost:80", "a=b", False),
        ("https://localhost:80", "a=b", False),
        ("https://localhost", "a=b", True),
        ("null", "a=b", True),
        ("http://other", None, False),
        ("http://other", "a=b", True),
    ):
        found = upgrades().answer(head(Origin=origin, Cookie=cookie))
        assert found is not None
        assert found[6] == questionable
    restricted = upgrades(origins=["http://other"])
    found = restricted.answer(head(Origin="http://other", Cookie="a=b"))
    assert found is not None
    assert not found[6]
