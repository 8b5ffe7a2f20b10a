from typing import NamedTuple, final

@final
class Queued: ...

@final
class Outbox: ...

class Drops(NamedTuple):
    newest: int
    oldest: int
    replaced: int
    unsent: int
