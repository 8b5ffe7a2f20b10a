"""Parts of ``conformance/run_wpt.py``: web-platform-tests against duologue's classes."""
