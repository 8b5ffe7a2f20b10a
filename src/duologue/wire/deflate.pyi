from collections.abc import Mapping
from typing import Any, Final, final

from duologue.wire.extension import Extension
from duologue.wire.frame import Frame

__all__ = ["PerMessageDeflate", "check_compress_settings", "own_codecs"]

def own_codecs() -> tuple[int, int]: ...
def check_compress_settings(settings: Mapping[str, Any] | None) -> dict[str, Any]: ...

@final
class PerMessageDeflate(Extension):
    name: Any  # an ExtensionName; stubtest cannot see that a str is one
    remote_no_context_takeover: Final[bool]
    local_no_context_takeover: Final[bool]
    remote_max_window_bits: Final[int]
    local_max_window_bits: Final[int]
    threshold: int
    @property
    def compress_settings(self) -> dict[str, Any]: ...
    def __init__(
        self,
        remote_no_context_takeover: bool,
        local_no_context_takeover: bool,
        remote_max_window_bits: int,
        local_max_window_bits: int,
        compress_settings: Mapping[str, Any] | None = None,
        *,
        threshold: int = 1024,
    ) -> None: ...
    def fresh(self) -> PerMessageDeflate: ...
    def release(self) -> None: ...
    def encode(self, frame: Frame) -> Frame: ...
    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame: ...
