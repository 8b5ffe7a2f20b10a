"""Negotiation of permessage-deflate: both tables of RFC 7692 section 7.1, and bad parameters."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from websockets.exceptions import NegotiationError as TheirNegotiationError
from websockets.extensions import permessage_deflate as theirs

from duologue.base.exceptions import (
    DuplicateParameter,
    InvalidParameterName,
    InvalidParameterValue,
    NegotiationError,
)
from duologue.base.types import ExtensionParameter
from duologue.wire.frame import Frame, Opcode
from duologue.wire.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
    enable_client_permessage_deflate,
    enable_server_permessage_deflate,
)

SNC = ("server_no_context_takeover", None)
CNC = ("client_no_context_takeover", None)


def swb(bits: object) -> ExtensionParameter:
    return ("server_max_window_bits", str(bits))


def cwb(bits: object = None) -> ExtensionParameter:
    return ("client_max_window_bits", None if bits is None else str(bits))


def state(codec: Any) -> tuple[bool, bool, int, int]:
    return (
        codec.remote_no_context_takeover,
        codec.local_no_context_takeover,
        codec.remote_max_window_bits,
        codec.local_max_window_bits,
    )


# Offers.


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, [cwb()]),
        ({"client_max_window_bits": None}, []),
        ({"client_max_window_bits": 8}, [cwb(8)]),
        ({"server_max_window_bits": 9}, [swb(9), cwb()]),
        ({"server_no_context_takeover": True}, [SNC, cwb()]),
        ({"client_no_context_takeover": True}, [CNC, cwb()]),
        (
            {
                "server_no_context_takeover": True,
                "client_no_context_takeover": True,
                "server_max_window_bits": 10,
                "client_max_window_bits": 11,
            },
            [SNC, CNC, swb(10), cwb(11)],
        ),
    ],
)
def test_offer(arguments: dict[str, Any], expected: list[ExtensionParameter]) -> None:
    assert ClientPerMessageDeflateFactory(**arguments).get_request_params() == expected


# What a client makes of a response: (remote nct, local nct, remote bits, local bits) or an error.

CLIENT_CASES = [
    ({}, [], (False, False, 15, 15)),
    ({}, [SNC], (True, False, 15, 15)),
    ({}, [CNC], (False, True, 15, 15)),
    ({}, [swb(8)], (False, False, 8, 15)),
    ({}, [cwb(8)], (False, False, 15, 8)),
    ({}, [cwb(12)], (False, False, 15, 12)),
    ({"server_no_context_takeover": True}, [SNC], (True, False, 15, 15)),
    ({"server_no_context_takeover": True}, [], "expected server_no_context_takeover"),
    ({"client_no_context_takeover": True}, [CNC], (False, True, 15, 15)),
    ({"client_no_context_takeover": True}, [], (False, True, 15, 15)),
    ({"server_max_window_bits": 10}, [swb(10)], (False, False, 10, 15)),
    ({"server_max_window_bits": 10}, [swb(8)], (False, False, 8, 15)),
    ({"server_max_window_bits": 10}, [swb(11)], "is 11, larger than the 10 offered"),
    ({"server_max_window_bits": 10}, [], "expected server_max_window_bits"),
    ({"client_max_window_bits": None}, [], (False, False, 15, 15)),
    ({"client_max_window_bits": None}, [cwb(15)], "unexpected client_max_window_bits"),
    ({"client_max_window_bits": 10}, [], (False, False, 15, 10)),
    ({"client_max_window_bits": 10}, [cwb(10)], (False, False, 15, 10)),
    ({"client_max_window_bits": 10}, [cwb(8)], (False, False, 15, 8)),
    ({"client_max_window_bits": 10}, [cwb(11)], "is 11, larger than the 10 offered"),
    ({}, [SNC, CNC, swb(9), cwb(10)], (True, True, 9, 10)),
    ({}, [cwb(10), swb(9), CNC, SNC], (True, True, 9, 10)),
]


@pytest.mark.parametrize(("arguments", "response", "expected"), CLIENT_CASES)
def test_client_judges_a_response(
    arguments: dict[str, Any], response: list[ExtensionParameter], expected: Any
) -> None:
    factory = ClientPerMessageDeflateFactory(**arguments)
    if isinstance(expected, str):
        with pytest.raises(NegotiationError, match=expected):
            factory.process_response_params(response, [])
    else:
        assert state(factory.process_response_params(response, [])) == expected


def test_client_refuses_a_window_without_value_in_a_response() -> None:
    with pytest.raises(InvalidParameterValue, match=r"missing value .* client_max_window_bits"):
        ClientPerMessageDeflateFactory().process_response_params([cwb()], [])


# What a server makes of an offer.

SERVER_CASES = [
    ({}, [], [], (False, False, 15, 15)),
    ({}, [SNC], [SNC], (False, True, 15, 15)),
    ({}, [CNC], [CNC], (True, False, 15, 15)),
    ({}, [swb(8)], [swb(8)], (False, False, 15, 8)),
    ({}, [swb(15)], [swb(15)], (False, False, 15, 15)),
    ({}, [cwb()], [], (False, False, 15, 15)),
    ({}, [cwb(8)], [cwb(8)], (False, False, 8, 15)),
    ({"server_no_context_takeover": True}, [], [SNC], (False, True, 15, 15)),
    ({"server_no_context_takeover": True}, [SNC], [SNC], (False, True, 15, 15)),
    ({"client_no_context_takeover": True}, [], [CNC], (True, False, 15, 15)),
    ({"client_no_context_takeover": True}, [CNC], [CNC], (True, False, 15, 15)),
    ({"server_max_window_bits": 10}, [], [swb(10)], (False, False, 15, 10)),
    ({"server_max_window_bits": 10}, [swb(9)], [swb(9)], (False, False, 15, 9)),
    ({"server_max_window_bits": 10}, [swb(8)], [swb(8)], (False, False, 15, 8)),
    ({"server_max_window_bits": 10}, [swb(11)], [swb(10)], (False, False, 15, 10)),
    ({"server_max_window_bits": 8}, [], [swb(8)], (False, False, 15, 8)),
    ({"client_max_window_bits": 10}, [], [], (False, False, 15, 15)),
    ({"client_max_window_bits": 10}, [cwb()], [cwb(10)], (False, False, 10, 15)),
    ({"client_max_window_bits": 10}, [cwb(8)], [cwb(8)], (False, False, 8, 15)),
    ({"client_max_window_bits": 10}, [cwb(11)], [cwb(10)], (False, False, 10, 15)),
    (
        {"client_max_window_bits": 10, "require_client_max_window_bits": True},
        [],
        "required client_max_window_bits",
        None,
    ),
    (
        {"client_max_window_bits": 10, "require_client_max_window_bits": True},
        [cwb()],
        [cwb(10)],
        (False, False, 10, 15),
    ),
    ({}, [SNC, CNC, swb(9), cwb(10)], [SNC, CNC, swb(9), cwb(10)], (True, True, 10, 9)),
    ({}, [cwb(10), swb(9), CNC, SNC], [SNC, CNC, swb(9), cwb(10)], (True, True, 10, 9)),
]


@pytest.mark.parametrize(("arguments", "offer", "response", "expected"), SERVER_CASES)
def test_server_judges_an_offer(
    arguments: dict[str, Any], offer: list[ExtensionParameter], response: Any, expected: Any
) -> None:
    factory = ServerPerMessageDeflateFactory(**arguments)
    if isinstance(response, str):
        with pytest.raises(NegotiationError, match=response):
            factory.process_request_params(offer, [])
    else:
        params, codec = factory.process_request_params(offer, [])
        assert (params, state(codec)) == (response, expected)


# Every pair of configurations, checked against `websockets` where it allows the configuration.

CLIENTS = [
    dict(
        zip(
            (
                "server_no_context_takeover",
                "client_no_context_takeover",
                "server_max_window_bits",
                "client_max_window_bits",
            ),
            values,
            strict=True,
        )
    )
    for values in itertools.product(
        (False, True), (False, True), (None, 9, 12, 15), (None, True, 9, 12, 15)
    )
]
SERVERS = [
    dict(
        zip(
            (
                "server_no_context_takeover",
                "client_no_context_takeover",
                "server_max_window_bits",
                "client_max_window_bits",
            ),
            values,
            strict=True,
        )
    )
    for values in itertools.product((False, True), (False, True), (None, 10, 15), (None, 10, 15))
]


@pytest.mark.parametrize("arguments", CLIENTS, ids=str)
def test_both_sides_agree_and_so_does_websockets(arguments: dict[str, Any]) -> None:
    client = ClientPerMessageDeflateFactory(**arguments)
    their_client = theirs.ClientPerMessageDeflateFactory(**arguments)
    offer = client.get_request_params()
    assert offer == their_client.get_request_params()
    for configuration in SERVERS:
        server = ServerPerMessageDeflateFactory(**configuration)
        their_server = theirs.ServerPerMessageDeflateFactory(**configuration)
        response, server_codec = server.process_request_params(offer, [])
        their_response, their_codec = their_server.process_request_params(offer, [])
        assert response == their_response
        assert state(server_codec) == state(their_codec)
        client_codec = client.process_response_params(response, [])
        assert state(client_codec) == state(their_client.process_response_params(response, []))
        mirrored = state(server_codec)
        # A client without takeover need not say so; a server reads it all the same.
        assert state(client_codec)[0] == mirrored[1]
        assert state(client_codec)[1] >= mirrored[0]
        assert state(client_codec)[2] == mirrored[3]
        assert state(client_codec)[3] <= mirrored[2]


def test_a_response_larger_than_an_offer_is_refused_as_by_websockets() -> None:
    for offered, answered in itertools.product(range(9, 16), range(9, 16)):
        for factory, error in (
            (ClientPerMessageDeflateFactory, NegotiationError),
            (theirs.ClientPerMessageDeflateFactory, TheirNegotiationError),
        ):
            client = factory(client_max_window_bits=offered, server_max_window_bits=offered)
            response = [swb(answered), cwb(answered)]
            if answered <= offered:
                assert state(client.process_response_params(response, [])) == (
                    False,
                    False,
                    answered,
                    answered,
                )
            else:
                with pytest.raises(error):
                    client.process_response_params(response, [])


# Bad parameters.

BAD = [
    ([("unknown", None)], InvalidParameterName, "unknown"),
    ([("SERVER_NO_CONTEXT_TAKEOVER", None)], InvalidParameterName, "SERVER_NO_CONTEXT"),
    ([SNC, SNC], DuplicateParameter, "server_no_context_takeover"),
    ([CNC, swb(9), CNC], DuplicateParameter, "client_no_context_takeover"),
    ([swb(9), swb(9)], DuplicateParameter, "server_max_window_bits"),
    ([cwb(9), cwb(10)], DuplicateParameter, "client_max_window_bits"),
    ([("server_no_context_takeover", "1")], InvalidParameterValue, "server_no_context_takeover: 1"),
    ([("server_no_context_takeover", "")], InvalidParameterValue, "empty value"),
    ([("client_no_context_takeover", "true")], InvalidParameterValue, "client_no_context_take"),
    ([("server_max_window_bits", None)], InvalidParameterValue, "missing value"),
    *[
        ([(f"{side}_max_window_bits", value)], InvalidParameterValue, f"{side}_max_window_bits")
        for side in ("server", "client")
        for value in ("", "7", "16", "08", "+9", " 9", "9.0", "-9", "1_0", "\u0669", "x")
    ],
]


@pytest.mark.parametrize(("params", "error", "text"), BAD)
def test_bad_parameters_are_named(
    params: list[ExtensionParameter], error: type[NegotiationError], text: str
) -> None:
    with pytest.raises(error, match=text.replace("+", r"\+")):
        ServerPerMessageDeflateFactory().process_request_params(params, [])
    with pytest.raises(error, match=text.replace("+", r"\+")):
        ClientPerMessageDeflateFactory().process_response_params(params, [])


def test_a_second_permessage_deflate_is_refused() -> None:
    _, accepted = ServerPerMessageDeflateFactory().process_request_params([], [])
    with pytest.raises(NegotiationError, match="permessage-deflate is accepted already"):
        ServerPerMessageDeflateFactory().process_request_params([], [accepted])
    with pytest.raises(NegotiationError, match="permessage-deflate is accepted already"):
        ClientPerMessageDeflateFactory().process_response_params([], [accepted])


# Configuration.


@pytest.mark.parametrize(
    "factory", [ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory]
)
@pytest.mark.parametrize("name", ["server_max_window_bits", "client_max_window_bits"])
@pytest.mark.parametrize("bits", [0, 7, 16])
def test_windows_out_of_range_are_refused(factory: Any, name: str, bits: int) -> None:
    with pytest.raises(ValueError, match=f"{name} must be between 8 and 15, not {bits}"):
        factory(**{name: bits})


@pytest.mark.parametrize(
    "factory", [ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory]
)
def test_settings_are_checked_before_any_connection(factory: Any) -> None:
    with pytest.raises(ValueError, match="must not include wbits"):
        factory(compress_settings={"wbits": 9})
    with pytest.raises(ValueError, match="threshold must be 0 or more, not -5"):
        factory(threshold=-5)


def test_a_required_client_window_must_be_given() -> None:
    with pytest.raises(ValueError, match="needs client_max_window_bits"):
        ServerPerMessageDeflateFactory(require_client_max_window_bits=True)


def test_settings_and_threshold_reach_the_codec() -> None:
    arguments: dict[str, Any] = {"compress_settings": {"level": 0}, "threshold": 7}
    client = ClientPerMessageDeflateFactory(**arguments).process_response_params([], [])
    _, server = ServerPerMessageDeflateFactory(**arguments).process_request_params([], [])
    for codec in (client, server):
        assert codec.threshold == 7
        assert len(codec.encode(Frame(Opcode.TEXT, bytes(1000))).data) > 1000


def test_defaults() -> None:
    (client,), (server,) = (
        enable_client_permessage_deflate(None),
        enable_server_permessage_deflate(None),
    )
    offer = client.get_request_params()
    assert offer == [cwb()]
    response, codec = server.process_request_params(offer, [])
    assert response == [swb(12), cwb(12)]
    assert isinstance(codec, PerMessageDeflate)
    assert (state(codec), codec.threshold) == ((False, False, 12, 12), 1024)
    (server,) = enable_server_permessage_deflate([], threshold=3)
    assert server.process_request_params(offer, [])[1].threshold == 3  # type: ignore[attr-defined]
    (client,) = enable_client_permessage_deflate([], threshold=4)
    assert client.process_response_params([], []).threshold == 4  # type: ignore[attr-defined]


def test_enabling_keeps_what_is_configured() -> None:
    clients = [ClientPerMessageDeflateFactory(client_max_window_bits=9)]
    servers = [ServerPerMessageDeflateFactory(client_max_window_bits=9)]
    assert enable_client_permessage_deflate(clients) is clients
    assert enable_server_permessage_deflate(servers) is servers
    other = type("Other", (), {"name": "x-other"})()
    assert [f.name for f in enable_client_permessage_deflate([other])] == [
        "x-other",
        "permessage-deflate",
    ]
    assert [f.name for f in enable_server_permessage_deflate([other])] == [
        "x-other",
        "permessage-deflate",
    ]
