# What compiled code counts directly; traffic.pyi says what Python sees.


ctypedef struct Traffic:
    long long messages_received
    long long messages_sent
    long long octets_received
    long long octets_sent
    long long uncompressed
    long long compressed


cdef Traffic counted
