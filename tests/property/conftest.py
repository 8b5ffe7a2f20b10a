"""Property tests run without a deadline: a busy machine is no failure; pytest has a time-out."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("duologue", deadline=None)
settings.load_profile("duologue")
