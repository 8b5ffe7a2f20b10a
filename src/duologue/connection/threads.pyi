import threading
from collections.abc import Hashable, Iterable, Iterator
from types import TracebackType
from typing import Literal, Self, overload

from duologue.base.types import Data, DataLike
from duologue.base.vocabulary import CloseCode
from duologue.connection.connection import Connection as AsyncConnection
from duologue.connection.policies import Overflow
from duologue.net.io_thread import IoThread

class Connection(AsyncConnection):
    thread: IoThread
    @overload  # type: ignore[override]
    def recv(self, timeout: float | None, decode: Literal[True]) -> str: ...
    @overload
    def recv(self, timeout: float | None, decode: Literal[False]) -> bytes: ...
    @overload
    def recv(self, timeout: float | None = None, *, decode: Literal[True]) -> str: ...
    @overload
    def recv(self, timeout: float | None = None, *, decode: Literal[False]) -> bytes: ...
    @overload
    def recv(self, timeout: float | None = None, decode: bool | None = None) -> Data: ...
    def __iter__(self) -> Iterator[Data]: ...
    @overload  # type: ignore[override]
    def recv_streaming(self, decode: Literal[True]) -> Iterator[str]: ...
    @overload
    def recv_streaming(self, decode: Literal[False]) -> Iterator[bytes]: ...
    @overload
    def recv_streaming(self, decode: bool | None = None) -> Iterator[Data]: ...
    def send(  # type: ignore[override]
        self,
        message: DataLike | Iterable[DataLike],
        *,
        text: bool | None = None,
        compress: bool | None = None,
        key: Hashable | None = None,
        overflow: Overflow | None = None,
    ) -> None: ...
    def drain(self, timeout: float | None = None) -> None: ...  # type: ignore[override]
    def ping(  # type: ignore[override]
        self, data: DataLike | None = None, *, ack_on_close: bool = False
    ) -> threading.Event: ...
    def pong(self, data: DataLike = b"") -> None: ...  # type: ignore[override]
    def close(  # type: ignore[override]
        self, code: CloseCode | int | None = ..., reason: str = ""
    ) -> None: ...
    def wait_closed(self, timeout: float | None = None) -> bool: ...  # type: ignore[override]
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
