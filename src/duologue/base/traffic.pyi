from typing import NamedTuple

class Counts(NamedTuple):
    messages_received: int
    messages_sent: int
    octets_received: int
    octets_sent: int
    uncompressed: int
    compressed: int

def traffic() -> Counts: ...
