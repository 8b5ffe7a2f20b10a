"""One behaviour, two libraries: every test here runs on `websockets` and on `duologue`."""
