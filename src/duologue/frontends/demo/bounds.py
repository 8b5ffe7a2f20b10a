"""Every bound of the demo that isn't one of :class:`duologue.base.limits.Limits`, with its reason.

A visitor can make the demo do a lot of things; none of them may last, grow or repeat without an
end. What a visitor may run into is told to the page, so that it can say so.
"""

from __future__ import annotations

from duologue.base.rates import Rate

MAX_SIZE = 16 * 1024 * 1024
"""Largest message the demo accepts, in bytes: the 10,000,000 of the buffering example fit."""

MAX_COMMAND = 4096
"""Largest message, in bytes, where short commands are expected. More closes with 1009."""

MAX_VISITORS = 1000
"""WebSockets open at once in one worker, of all visitors together. More are answered with 503."""

MAX_ENDINGS = 256
"""How many connections' endings the lab remembers, so that a page can ask how one ended."""

ENDING_PATIENCE = 5.0
"""Seconds to wait for an ending that a page asks for and that hasn't happened yet."""

SLOW = 1.5
"""Seconds for which ``/slow`` holds the handshake back, to make CONNECTING visible."""

MAX_SLOW = 50
"""Handshakes held back at once in one worker. More are answered with 503."""

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
"""Inspector pages served at once by one worker. More are closed with 1013."""

MAX_SUBJECTS = 4
"""Connections one inspector page may have inspected at once. More are answered with 403."""

MAX_WISHES = 8
"""Wishes that wait for one inspected connection, as when it doesn't read. More are refused."""

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

MAX_ROOM_NAME = 32
"""Characters of a room's name. More, or others than letters and digits, close with 4400."""

MAX_NAME = 24
"""Characters of a visitor's name in the chat. More, or odd ones, close with 4400."""

MAX_SAID = 2000
"""Characters that a page may say at once in a room; more is refused. What a program says in the
lobby over the tutorials' protocol is shown to pages up to here."""

MAX_OCTETS_SAID = 65_536
"""Largest message, in bytes, from a page in a room. More closes with 1009."""

SAID_RATE = Rate(5, burst=20)
"""Messages a second from a page in a room, and how many at once. More closes with 1008."""

PLAIN_RATE = Rate(50, burst=500)
"""The same for programs of the tutorials, which may be in more of a hurry."""

MAX_ROOMS = 100
"""Rooms with somebody in them, the lobby among them. One more is closed with 1013. A connection is
in one room, so nobody is in more rooms than have connections of theirs."""

MAX_MEMBERS = 500
"""Visitors in one room, of all workers together. One more is closed with 1013."""

LIST_PAUSE = 0.25
"""Seconds between two lists of rooms that pages are sent, however many come and go."""
