from typing import NamedTuple

class Accounts(NamedTuple):
    octets: int
    connections: int
    links: int
    listeners: int
    codecs: int
    holding: int
    shed: int

def accounts() -> Accounts: ...
