import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from duologue.connection.connection import Callbacks
from duologue.connection.settings import Settings
from duologue.net.link import Link
from duologue.server.connection import ServerConnection
from duologue.server.opening import Opening, OpeningOptions

if TYPE_CHECKING:
    from duologue.server.serving import Server

class Reception:
    def __init__(
        self,
        server: Server,
        settings: Settings,
        options: OpeningOptions,
        create_connection: Callable[[Settings, Server], ServerConnection],
        callbacks: Callbacks | None,
    ) -> None: ...
    @property
    def openings(self) -> set[Opening]: ...
    def link_opened(self, link: Link) -> None: ...
    def newcomers_now(self) -> list[Any]: ...
    def shut_down(self) -> None: ...
    def start(self, connection: ServerConnection, link: Link, rest: bytes) -> None: ...
    def adopt(
        self,
        connection: ServerConnection,
        link: Link,
        rest: bytes,
        callbacks: Callbacks | None,
        task: asyncio.Task[None] | None,
    ) -> None: ...
    def connection_gone(self, connection: ServerConnection) -> None: ...
