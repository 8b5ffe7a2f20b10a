"""How a target's input is cut: its first octets say how, the rest is what a peer sends."""

from __future__ import annotations


def cut(data: bytes, step: int) -> list[bytes]:
    """Cut ``data`` into pieces of a few octets.

    Args:
        data: what to cut.
        step: 0 for pieces of one octet, else for pieces that grow by so many.
    """
    pieces, at, size = [], 0, 1
    while at < len(data):
        pieces.append(data[at : at + size])
        at += size
        size += step
    return pieces
