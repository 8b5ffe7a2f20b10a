# What compiled code calls directly; accounts.pyi says what Python sees.


ctypedef struct Totals:
    long long octets
    long long connections
    long long links
    long long listeners
    long long codecs
    long long holding
    long long shed
    # Messages that were never sent, by cause.
    long long dropped_newest
    long long dropped_oldest
    long long dropped_replaced
    long long dropped_unsent
    # All that was ever taken in; octets let go of don't lessen it.
    long long taken


ctypedef struct HolderCalls:
    # What the owner holds, octets held for it elsewhere included.
    long long (*weigh)(void* owner) except -1
    # Let everything go. The holder may be gone afterwards.
    int (*shed)(void* owner) except -1
    # The same soon, in the owner's own thread.
    int (*shed_later)(void* owner) except -1


ctypedef struct Holder:
    Holder* following
    Holder* preceding
    void* owner
    const HolderCalls* calls
    unsigned long thread
    # Octets above which it may be shed; -1 for never.
    long long budget
    long long octets
    bint asked


cdef Totals totals

cdef Holder* hold(void* owner, const HolderCalls* calls, long long budget) except NULL
cdef void leave(Holder* holder) noexcept
cdef int relieve(long long budget) except -1


cdef inline int change(Holder* holder, long long octets) except -1:
    """Note what a holder holds; the worst are shed, perhaps this one, when it is too much."""
    cdef long long more = octets - holder.octets
    holder.octets = octets
    totals.octets += more
    if more > 0:
        totals.taken += more
    if 0 <= holder.budget < totals.octets:
        return relieve(holder.budget)
    return 0
