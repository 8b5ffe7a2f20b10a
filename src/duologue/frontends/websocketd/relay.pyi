from collections.abc import Callable, Generator
from typing import Any

from duologue.connection.connection import Connection
from duologue.connection.wakeup import Wakeable
from duologue.frontends.websocketd.framing import Lines
from duologue.net.pipes import PipeWriter, Sink

class Outgoing(Sink):
    def __init__(
        self,
        connection: Connection,
        lines: Lines | None = None,
        form: Callable[[bytes], str | bytes] | None = None,
    ) -> None: ...

def call_when_left(connection: Connection, callback: Callable[[], object] | None) -> None: ...

class Incoming(Wakeable):
    program: PipeWriter | None
    rest: bytes | None
    def __init__(self, connection: Connection, gather: bool) -> None: ...
    def __await__(self) -> Generator[Any, Any]: ...
    def write(self, message: str | bytes, more: bool = True) -> None: ...
