"""pywebsocket's handlers, ``*_wsh.py``, on our server.

``python -m duologue.frontends.pywebsocket.standalone`` has the command line of the original,
``duologue serve DIR`` is the short one. Handlers are blocking code: each connection has a thread of
its own, of which there are at most ``max_threads``.

=======================================  ========================================================
module                                   what it knows
=======================================  ========================================================
``common``, ``http_header_util``,        what handlers import, under the names ``pywebsocket3``
``util``, ``exceptions``, ``names``      and ``mod_pywebsocket`` in this process
``frames``                               frames as octets; sans-I/O
``extensions``                           permessage-deflate; sans-I/O
``stream``, ``msgutil``, ``coroutines``  messages of one connection
``handshake``                            a request becomes a WebSocket, or doesn't
``dispatch``                             handlers: finding and calling them
``short``, ``channel``                   octets of one connection; short messages, compiled
``request``, ``visit``                   one connection in its thread; plain HTTP with ``cgi``
``config``, ``options``, ``server``      many of them
=======================================  ========================================================

Where the original is unsafe, waits for ever or breaks RFC 6455, this does better;
``docs/coming-from/pywebsocket.md`` lists the differences.
"""

from __future__ import annotations

from duologue.frontends.pywebsocket.config import Config
from duologue.frontends.pywebsocket.exceptions import DispatchException
from duologue.frontends.pywebsocket.server import CannotListen

__all__ = ["CannotListen", "Config", "DispatchException"]
