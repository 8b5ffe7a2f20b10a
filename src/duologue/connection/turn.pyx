"""What is put off to the end of an event loop's turn: one callback of the loop for all who wait.

A connection that has something to write waits for the end of the turn, so that all its frames go
out together. A thousand connections that are sent the same message are a thousand places in one
list here, not a thousand handles of the loop.

Knows nothing of connections: who waits is done with by a C function. Nobody may wait twice; who
adds sees to that.

Invariants: ``due`` says that the loop, or :meth:`Turn.run`, will call :meth:`Turn._end`; ``waiting``
is empty otherwise.
What a closed loop never came to is let go together with it.
"""

import weakref


cdef class Turn:
    """The end of the current turn of one loop; made by ``turn_of``."""

    cdef int add(self, object who) except -1:
        """Have ``who`` done with at the end of the turn, in the order of adding."""
        self.waiting.append(who)
        if not self.due:
            self.due = True
            self.loop.call_soon(self._end)
        return 0

    def run(self, function, *args):
        """Return ``function(*args)``; who is added meanwhile need not wait for the end of the turn.

        For whoever brings much to many, from outside of any turn: a turn of the loop costs more
        than a message.
        """
        cdef bint ours = not self.due
        self.due = True
        try:
            return function(*args)
        finally:
            # Who was added before waits for the loop's call, and all others with them.
            if ours:
                self._end()

    def _end(self):
        # Who is added meanwhile waits for the next turn.
        waiting, self.waiting = self.waiting, []
        self.due = False
        for who in waiting:
            try:
                self.act(who)
            except Exception as exc:
                # As a callback of the loop's own would: others go on.
                self.loop.call_exception_handler(
                    {"message": f"Exception at the end of a turn, for {who!r}", "exception": exc}
                )


# Weak on both sides, since connections lead to their loop.
cdef object turns = weakref.WeakKeyDictionary()
# The reference that was asked for last.
cdef object latest = None


def known_turn(loop):
    """Return the turn of ``loop``, ``None`` if nobody has had anything to write in it yet."""
    reference = turns.get(loop)
    return None if reference is None else reference()


cdef Turn turn_of(object loop, Act act):
    """Return the turn of ``loop``, made at the first call; ``act`` is what is done at its end."""
    global latest
    cdef Turn turn = None if latest is None else latest()
    if turn is not None and turn.loop is loop:
        return turn
    reference = turns.get(loop)
    found = None if reference is None else reference()
    if found is None:
        turn = Turn.__new__(Turn)
        turn.loop = loop
        turn.waiting = []
        turn.act = act
        found = turn
        turns[loop] = weakref.ref(turn)
    latest = turns[loop]
    return found
