"""Tests of ``duologue bench``."""
