"""A handler under test: ``examples/pywebsocket/echo_wsh.py``, as ``duologue serve`` runs it.

Prints its URL when it listens. Of the suite those cases can pass in which pywebsocket's handlers
are promised nothing else: ``run_autobahn.py --testee conformance/echo_handler.py --role server
--cases '1.*,2.*,5.*,6.1.*,6.2.*,6.3.*,7.1.*,7.3.*,7.7.*,7.13.*,9.*,10.*'``. Reserved bits and
opcodes (3, 4) are answered with 1003, code and reason of a Close frame (7.5, 7.9) are the
handler's to judge, texts (6.4) are looked at when they are whole, and offers with
``client_no_context_takeover`` (12, 13) are declined.
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
