import asyncio
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

class Turn:
    def run(self, function: Callable[[*_Ts], _T], *args: *_Ts) -> _T: ...

def known_turn(loop: asyncio.AbstractEventLoop) -> Turn | None: ...
