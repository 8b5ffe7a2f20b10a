from typing import Any

class ShortMessages:
    _rest: bytes
    _at: int
    def __new__(cls, *args: Any, **kwargs: Any) -> ShortMessages: ...
    def _use_directly(self, fd: int) -> None: ...

class ShortStream:
    _request: Any
    _options: Any
    _writer: Any
    _receiving: Any
    _message_opcode: int | None
    _last_opcode: int | None
    _unreadable: Exception | None
    def _take_short_way(self, channel: object) -> None: ...
    def receive_message(self) -> str | bytes | None: ...
    def send_message(
        self, message: str | bytes, end: bool = True, binary: bool = False
    ) -> None: ...
