"""The threads API, run on duologue and on `websockets`."""
