from __future__ import annotations

import dataclasses
import math
import re

import pytest

from duologue.base.limits import DEFAULT_LIMITS, Limits
from duologue.base.rates import Rate

FIELDS = [field.name for field in dataclasses.fields(Limits)]
RATES = ["message_rate", "octet_rate"]
SECONDS = [f.name for f in dataclasses.fields(Limits) if isinstance(f.default, float)]
SECONDS += ["idle_timeout"]
COUNTS = [name for name in FIELDS if name not in (*SECONDS, *RATES)]
ZERO = ["max_body", "max_size", "fragment_cost", "write_limit", "max_redirects"]
ZERO += ["compress_threshold"]
NEVER_NONE = ["fragment_cost", "compress_threshold"]


def test_defaults():
    assert dataclasses.asdict(DEFAULT_LIMITS) == {
        "max_line": 8192,
        "max_headers": 100,
        "max_head": 32768,
        "max_body": 1_048_576,
        "max_size": 1_048_576,
        "fragment_cost": 64,
        "max_queue": 16,
        "max_queue_bytes": 1_048_576,
        "write_limit": 32768,
        "max_outbox": 16_777_216,
        "memory_budget": 1_073_741_824,
        "max_redirects": 10,
        "open_timeout": 10.0,
        "close_timeout": 10.0,
        "ping_interval": 20.0,
        "ping_timeout": 20.0,
        "write_timeout": 60.0,
        "keep_alive_timeout": 5.0,
        "compress_threshold": 1024,
        "message_rate": None,
        "octet_rate": None,
        "idle_timeout": None,
        "codec_idle": 10.0,
        "max_topic": 1024,
        "max_subscriptions": 10_000,
        "max_topics": 1_000_000,
        "max_backlog": 67_108_864,
        "request_timeout": 5.0,
        "lease": 10.0,
    }


def test_is_immutable_and_comparable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        DEFAULT_LIMITS.max_line = 1
    assert Limits() == DEFAULT_LIMITS
    assert dataclasses.replace(DEFAULT_LIMITS, max_line=1).max_line == 1


def test_every_field_is_documented():
    documented = re.findall(r"^        (\w+): ", Limits.__doc__, re.MULTILINE)
    assert set(FIELDS) <= set(documented)


@pytest.mark.parametrize("name", FIELDS)
def test_none_lifts_a_limit(name):
    if name in NEVER_NONE:
        with pytest.raises(TypeError, match=name):
            Limits(**{name: None})
    else:
        assert getattr(Limits(**{name: None}), name) is None


@pytest.mark.parametrize("name", FIELDS)
def test_zero_is_a_value_or_an_error_but_never_infinity(name):
    if name in ZERO:
        assert getattr(Limits(**{name: 0}), name) == 0
    else:
        with pytest.raises(ValueError, match=f"{name} must be more than 0.*None lifts"):
            Limits(**{name: 0})


@pytest.mark.parametrize("name", FIELDS)
def test_negative_values_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be"):
        Limits(**{name: -1})


@pytest.mark.parametrize("name", RATES)
def test_rates(name):
    assert getattr(Limits(**{name: 5}), name) == Rate(5)
    assert getattr(Limits(**{name: Rate(5, 60)}), name) == Rate(5, 60)
    for value in ("1", True, b"1", (1, 2)):
        with pytest.raises(TypeError, match=f"{name} must be a Rate"):
            Limits(**{name: value})
    for value in (math.inf, math.nan):
        with pytest.raises(ValueError, match=f"{name} must be more than 0"):
            Limits(**{name: value})


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [1.5, "1", True, b"1"])
def test_counts_are_integers(name, value):
    with pytest.raises(TypeError, match=re.escape(f"{name} must be an integer")):
        Limits(**{name: value})


@pytest.mark.parametrize("name", SECONDS)
def test_seconds_are_finite_numbers(name):
    assert getattr(Limits(**{name: 1}), name) == 1
    assert getattr(Limits(**{name: 0.5}), name) == 0.5
    for value in ("1", True):
        with pytest.raises(TypeError, match=name):
            Limits(**{name: value})
    for value in (math.inf, math.nan):
        with pytest.raises(ValueError, match=f"{name} must be finite"):
            Limits(**{name: value})
