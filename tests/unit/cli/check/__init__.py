"""Tests of ``duologue connect --check``."""
