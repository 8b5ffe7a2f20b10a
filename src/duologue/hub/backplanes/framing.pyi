import enum
from typing import final

from duologue.hub.message import Message

VERSION: int
NAME: int
EVERYBODY: str

class Kind(enum.IntEnum):
    HELLO = 1
    WELCOME = 2
    JOINED = 3
    GONE = 4
    INTEREST = 5
    NO_INTEREST = 6
    PUBLISH = 7
    POSITION = 8
    DELIVER = 9
    REQUEST = 10
    ASKED = 11
    ANSWER = 12
    TELL = 13
    PING = 14

def frame(kind: int, *parts: bytes) -> bytes: ...

@final
class Frames:
    def __init__(self, most: int | None = None) -> None: ...
    def feed(self, data: bytes) -> list[tuple[int, bytes]]: ...

def published(message: Message) -> bytes: ...
def topic_of(body: bytes) -> str: ...
def delivered(body: bytes) -> Message: ...
def number(value: int) -> bytes: ...
def number_of(body: bytes) -> int: ...
def addressed(name: str, identifier: int, *parts: bytes) -> bytes: ...
def address_of(body: bytes) -> tuple[str, int, bytes]: ...
def names_in(body: bytes) -> list[str]: ...
