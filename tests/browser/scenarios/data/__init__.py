"""All scenarios, by subject."""

from __future__ import annotations

from ..language import Scenario
from . import attributes, closing, constructing, events, failing, listeners, receiving, sending

# Chromium makes connections wait while more of its connections have failed than not.
SUBJECTS = (attributes, sending, receiving, closing, events, listeners, constructing, failing)
SCENARIOS: list[Scenario] = [scenario for subject in SUBJECTS for scenario in subject.SCENARIOS]
