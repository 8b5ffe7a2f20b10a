"""Small things that handlers import from pywebsocket's ``util``."""

from __future__ import annotations

import logging

from duologue.wire.octets import apply_mask

__all__ = [
    "NoopMasker",
    "RepeatedXorMasker",
    "get_class_logger",
    "hexify",
    "pack_byte",
    "prepend_message_to_exception",
    "wrap_popen3_for_win",
]


def get_class_logger(o: object) -> logging.Logger:
    """Returns the logger of an object's class: module and name of the class."""
    return logging.getLogger(f"{type(o).__module__}.{type(o).__name__}")


def prepend_message_to_exception(message: str, exc: BaseException) -> None:
    """Puts a text before what an exception says."""
    exc.args = (message + str(exc),)


def hexify(s: bytes) -> str:
    """Returns octets in hexadecimal, with spaces between them."""
    return s.hex(" ")


def pack_byte(b: int) -> bytes:
    """Returns one octet."""
    return bytes((b,))


def wrap_popen3_for_win(cygwin_path: str | None) -> None:
    """Does nothing: it helped Python 2 to run CGI programs on Windows."""


class NoopMasker:
    """Masks nothing."""

    def mask(self, s: bytes) -> bytes:
        """Returns the octets as they are."""
        return s


class RepeatedXorMasker:
    """Masks and unmasks a payload, which may come in pieces.

    Args:
        masking_key: Four octets.
    """

    def __init__(self, masking_key: bytes) -> None:
        self._key = masking_key

    def mask(self, s: bytes) -> bytes:
        """Returns the next octets masked, or unmasked."""
        turn = len(s) % 4
        key, self._key = self._key, self._key[turn:] + self._key[:turn]
        return apply_mask(s, key)
