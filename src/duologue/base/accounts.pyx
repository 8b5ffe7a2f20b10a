"""The process-wide accounts: how many octets lie in buffers, how many objects live, who holds most.

Whoever buffers for a peer keeps a :c:type:`Holder` here while it holds anything, and tells it what
that comes to, the objects around the octets included. When the sum is more than a holder's budget
(``Limits.memory_budget``) and that holder takes more, those that hold most are shed, worst first:
they let go of everything at once, until an eighth of the budget is free again.

* **Process-wide octets, a budget each.** Every holder compares the sum of all with a budget of its
  own, and only those whose budget is exceeded are shed. So the smallest budget gives way first,
  and a holder without one is counted but never shed.
* **What it costs.** A change is an addition and a comparison. Only above a budget are the holders
  looked at, all of them, and sorted once. The eighth that is freed then must be filled again before
  that happens again; when nothing can be freed, a sixteenth more must be held before the next try.
* **By how much the sum can pass the budget.** A holder's thread sheds before it goes on, so by what
  one change adds: one read (256 KiB) or one message of the application's own. Holders of
  other threads are asked through their own loops, so for those by what they take in one turn.

Invariants: ``totals.octets`` is the sum of what all holders and links say; a holder is in the list
exactly once, from :c:func:`hold` to :c:func:`leave`.

The counters are plain C, changed only by a thread that has the GIL and without letting go of it,
so event loops in several threads may share them. On a free-threaded interpreter importing this
module switches the GIL on, as every extension does that does not say it can live without. A forked
child starts with its parent's numbers, since it starts with its parent's objects.

Must never know asyncio, links, or WebSocket.
"""

import collections

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.pythread cimport PyThread_get_thread_ident
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdlib cimport qsort


cdef extern from "Python.h":
    void write_unraisable "PyErr_WriteUnraisable"(object where)

ctypedef struct Candidate:
    long long octets
    void* owner
    const HolderCalls* calls
    bint here

# What is freed beyond the budget, and how much more must be held before a vain try is repeated:
# these parts of the budget.
cdef long long FREED = 8
cdef long long PATIENCE = 16

# The list's two ends; never a holder itself.
cdef Holder anchor
anchor.following = anchor.preceding = &anchor

# Shedding now, so that what is shed starts no shedding of its own.
cdef bint relieving = False

# How much must have been taken in, since the process began, before a vain try is repeated.
cdef long long retry_at = 0


Accounts = collections.namedtuple(
    "Accounts",
    "octets connections links listeners codecs holding shed "
    "dropped_newest dropped_oldest dropped_replaced dropped_unsent",
)
Accounts.__doc__ = """What this process holds for its peers, and how many objects live in it.

Attributes:
    octets: in all buffers: messages received and not taken yet, unparsed octets, unfinished
        messages, messages to be sent, written frames, each with the objects around them. What an
        asyncio transport holds counts only while it is above its high mark.
    connections: WebSocket connections, in whatever state, that somebody still refers to.
    links: streams that carry one, or an HTTP exchange before it.
    listeners: sockets of the engine that accept.
    codecs: compression states of connections.
    holding: connections with octets in a buffer.
    shed: connections closed so far because of ``Limits.memory_budget``; only ever grows, as do those
        below.
    dropped_newest: messages that found no room in an outbox.
    dropped_oldest: messages that made room for others there.
    dropped_replaced: messages that gave their place to a newer one of the same key.
    dropped_unsent: messages that were queued, and not written, when their connection ended.
"""


def accounts():
    """Return the process-wide counters as they are now; see :class:`Accounts`."""
    return Accounts(
        totals.octets,
        totals.connections,
        totals.links,
        totals.listeners,
        totals.codecs,
        totals.holding,
        totals.shed,
        totals.dropped_newest,
        totals.dropped_oldest,
        totals.dropped_replaced,
        totals.dropped_unsent,
    )


cdef Holder* hold(void* owner, const HolderCalls* calls, long long budget) except NULL:
    """Join the list; ``owner`` is borrowed and must :c:func:`leave` before it goes."""
    cdef Holder* holder = <Holder*>PyMem_Malloc(sizeof(Holder))
    if holder == NULL:
        raise MemoryError
    holder.owner = owner
    holder.calls = calls
    holder.thread = PyThread_get_thread_ident()
    holder.budget = budget
    holder.octets = 0
    holder.asked = False
    holder.following = &anchor
    holder.preceding = anchor.preceding
    anchor.preceding.following = holder
    anchor.preceding = holder
    totals.holding += 1
    return holder


cdef void leave(Holder* holder) noexcept:
    """Leave the list, holding nothing any more."""
    totals.octets -= holder.octets
    totals.holding -= 1
    holder.preceding.following = holder.following
    holder.following.preceding = holder.preceding
    PyMem_Free(holder)


cdef int heavier(const void* one, const void* other) noexcept nogil:
    """Order for qsort: the worst first."""
    cdef long long mine = (<const Candidate*>one).octets, theirs = (<const Candidate*>other).octets
    return (mine < theirs) - (mine > theirs)


cdef Candidate* candidates(Py_ssize_t* count) except NULL:
    """Who may be shed, worst first, each with a reference of ours.

    They are collected before any of them is asked anything: nothing in the first loop can run the
    garbage collector, which might take a holder out of the list.
    """
    cdef unsigned long here = PyThread_get_thread_ident()
    cdef Candidate* found = <Candidate*>PyMem_Malloc(
        (totals.holding if totals.holding else 1) * sizeof(Candidate)
    )
    cdef Holder* holder = anchor.following
    cdef Py_ssize_t n = 0, index
    if found == NULL:
        raise MemoryError
    while holder != &anchor:
        if 0 <= holder.budget < totals.octets and not holder.asked:
            Py_INCREF(<object>holder.owner)
            found[n].owner = holder.owner
            found[n].calls = holder.calls
            found[n].here = holder.thread == here
            n += 1
        holder = holder.following
    for index in range(n):
        try:
            found[index].octets = found[index].calls.weigh(found[index].owner)
        except Exception:
            found[index].octets = 0
            write_unraisable(<object>found[index].owner)
    qsort(found, n, sizeof(Candidate), heavier)
    count[0] = n
    return found


cdef int relieve(long long budget) except -1:
    """Shed the worst holders until an eighth of ``budget`` is free, if that can be had."""
    global relieving, retry_at
    cdef Py_ssize_t count = 0, index
    cdef Candidate* found
    cdef long long asked = 0, enough = budget - budget // FREED
    if relieving or totals.taken < retry_at:
        return 0
    relieving = True
    try:
        found = candidates(&count)
        for index in range(count):
            if totals.octets - asked > enough and found[index].octets > 0:
                asked += shed(&found[index])
            Py_DECREF(<object>found[index].owner)
        PyMem_Free(found)
        if totals.octets > budget:
            retry_at = totals.taken + budget // PATIENCE
    finally:
        relieving = False
    return 0


cdef long long shed(const Candidate* candidate) except -1:
    """Shed one holder; return how many octets it will let go of later."""
    totals.shed += 1
    try:
        if candidate.here:
            candidate.calls.shed(candidate.owner)
            return 0
        candidate.calls.shed_later(candidate.owner)
        return candidate.octets
    except Exception:
        # One that cannot be shed is no reason to spare the next.
        write_unraisable(<object>candidate.owner)
        return 0
