"""A handler under test: ``examples/pywebsocket/echo_wsh.py``, as ``duologue serve`` runs it.

Prints its URL when it listens. What of the suite it is not expected to pass, since pywebsocket's
handlers are promised something else, stands in ``deviations.py``::

    python -m conformance.run_autobahn --front-end pywebsocket
"""

from __future__ import annotations

from pathlib import Path

from duologue.frontends.pywebsocket import Config
from duologue.frontends.pywebsocket.standalone import run

HANDLERS = Path(__file__).parents[1] / "examples" / "pywebsocket"


def main() -> None:
    config = Config(
        hosts=("127.0.0.1",),
        port=0,
        handlers=str(HANDLERS),
        handler_encoding="utf-8",
        max_size=None,
    )
    run(config, lambda port: print(f"ws://127.0.0.1:{port}/echo", flush=True))


if __name__ == "__main__":
    main()
