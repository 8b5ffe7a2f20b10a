from typing import NamedTuple

class Accounts(NamedTuple):
    octets: int
    connections: int
    links: int
    listeners: int
    codecs: int
    holding: int
    shed: int
    dropped_newest: int
    dropped_oldest: int
    dropped_replaced: int
    dropped_unsent: int

def accounts() -> Accounts: ...
