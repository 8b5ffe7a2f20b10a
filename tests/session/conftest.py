"""Runs each conversation on every event loop and every carrier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .venue import VENUES, Certificates, Venue


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    return Certificates()


@pytest.fixture(params=VENUES, ids="-".join)
def venue(request: pytest.FixtureRequest, certificates: Certificates) -> Venue:
    return Venue(*request.param, certificates)


@pytest.fixture(autouse=True)
def loop_factory(request: pytest.FixtureRequest) -> Callable[[], Any] | None:
    if "venue" not in request.fixturenames:
        return None
    venue: Venue = request.getfixturevalue("venue")
    return venue.loop_factory


@pytest.fixture(params=["client", "server"])
def role(request: pytest.FixtureRequest) -> str:
    """Which end a test looks at."""
    return str(request.param)
