"""Every bound of the demo that isn't one of :class:`duologue.base.limits.Limits`, with its reason.

A visitor can make the demo do a lot of things; none of them may last, grow or repeat without an
end. What a visitor may run into is told to the page, so that it can say so.
"""

from __future__ import annotations

MAX_SIZE = 16 * 1024 * 1024
"""Largest message the demo accepts, in bytes: the 10,000,000 of the buffering example fit."""

MAX_COMMAND = 4096
"""Largest message, in bytes, where short commands are expected. More closes with 1009."""

MAX_VISITORS = 1000
"""WebSockets open at once, of all visitors together. More are answered with 503."""

MAX_ENDINGS = 256
"""How many connections' endings the lab remembers, so that a page can ask how one ended."""

ENDING_PATIENCE = 5.0
"""Seconds to wait for an ending that a page asks for and that hasn't happened yet."""

SLOW = 1.5
"""Seconds for which ``/slow`` holds the handshake back, to make CONNECTING visible."""

MAX_SLOW = 50
"""Handshakes held back at once. More are answered with 503."""

TICK = 1.0
"""Seconds between two messages of the ticker."""

STREAM_MESSAGES = 200
"""Messages the stream sends on one connection."""

STREAM_PAUSE = 0.02
"""Seconds between two of them."""

MAX_CALLS = 8
"""Calls answered at once on one connection; reading waits when there are more."""

MAX_CALL_SLEEP = 2.0
"""Longest nap, in seconds, that a call may ask for."""

MAX_WATCHES = 50
"""Inspector pages served at once. More are closed with 1013."""

MAX_SUBJECTS = 4
"""Connections one inspector page may have inspected at once. More are answered with 403."""

MAX_INSPECTED = 65_536
"""Largest message, in bytes, on an inspected connection. More closes with 1009."""

MAX_FRAMES = 500
"""Frames reported of one inspected connection; the ones after it are exchanged unseen."""

MAX_REPORTS = 2000
"""Reports that wait for an inspector page to take them; what comes on top is counted as lost."""

PREVIEW = 96
"""Bytes of a payload that a report contains."""

MAX_INFLATED = 1024 * 1024
"""Bytes that a compressed message may become before the inspector stops to inflate."""
