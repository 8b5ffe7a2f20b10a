import asyncio
import socket
from collections.abc import Callable

from duologue.net.socket_link import SocketLink

ACCEPT_PAUSE: float

class Listener:
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        opened: Callable[[SocketLink], None],
    ) -> None: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...
    def fail(self, exc: BaseException | None) -> None: ...
