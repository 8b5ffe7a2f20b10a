"""The machine against two independent implementations, in random conversations."""

from __future__ import annotations

import pytest
import websockets.frames
import websockets.protocol
import wsproto.connection
import wsproto.events
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.base.vocabulary import Opcode, Side
from duologue.protocol.machine import EventMachine

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

sizes = st.sampled_from([0, 1, 2, 5, 124, 125, 126, 127, 300, 65535, 65536, 66000])
texts = st.one_of(st.text(max_size=40), sizes.map(lambda size: "x" * size))
binaries = st.one_of(st.binary(max_size=40), sizes.map(lambda size: b"\x80" * size))
messages = st.lists(st.one_of(texts, binaries), max_size=6)
controls = st.lists(st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125)), max_size=3)


def split(octets: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(octets) + 1) for cut in cuts})
    return [octets[a:b] for a, b in zip([0, *places], [*places, len(octets)], strict=True)]


def contents(events: list[object]) -> list[str | bytes]:
    """Messages put together from frames."""
    found: list[str | bytes] = []
    parts: list[bytes] = []
    text = False
    for event in events:
        if event.opcode in (PING, PONG, CLOSE):  # type: ignore[attr-defined]
            continue
        if event.opcode != CONT:  # type: ignore[attr-defined]
            text = event.opcode == TEXT  # type: ignore[attr-defined]
        parts.append(bytes(event.data))  # type: ignore[attr-defined]
        if event.fin:  # type: ignore[attr-defined]
            whole = b"".join(parts)
            parts = []
            found.append(whole.decode() if text else whole)
    return found


def say(machine: EventMachine, message: str | bytes, pieces: int) -> None:
    data = message.encode() if isinstance(message, str) else message
    send = machine.send_text if isinstance(message, str) else machine.send_binary
    if pieces <= 1:
        send(data)
        return
    step = len(data) // pieces + 1
    send(data[:step], fin=False)
    for index in range(1, pieces):
        part = data[index * step : (index + 1) * step]
        machine.send_continuation(part, fin=index == pieces - 1)


@pytest.mark.parametrize("side", list(Side))
@settings(deadline=None, max_examples=60)
@given(messages, controls, st.integers(1, 4), st.lists(st.integers(0), max_size=8))
def test_websockets_reads_what_we_write(
    side: Side,
    said: list[str | bytes],
    pings: list[tuple[int, bytes]],
    pieces: int,
    cuts: list[int],
) -> None:
    ours = EventMachine(side)
    theirs = websockets.protocol.Protocol(websockets.protocol.Side(1 - side))
    for message in said:
        say(ours, message, pieces)
        for opcode, payload in pings:
            (ours.send_ping if opcode == PING else ours.send_pong)(payload)
    for piece in split(b"".join(ours.data_to_send()), cuts):
        theirs.receive_data(piece)
    assert theirs.parser_exc is None
    assert contents(theirs.events_received()) == said


@pytest.mark.parametrize("side", list(Side))
@settings(deadline=None, max_examples=60)
@given(messages, controls, st.booleans(), st.lists(st.integers(0), max_size=8))
def test_we_read_what_websockets_writes(
    side: Side,
    said: list[str | bytes],
    pings: list[tuple[int, bytes]],
    fragmented: bool,
    cuts: list[int],
) -> None:
    theirs = websockets.protocol.Protocol(websockets.protocol.Side(1 - side))
    ours = EventMachine(side)
    for message in said:
        data = message.encode() if isinstance(message, str) else message
        send = theirs.send_text if isinstance(message, str) else theirs.send_binary
        if fragmented:
            send(data[:3], fin=False)
            theirs.send_continuation(data[3:], fin=True)
        else:
            send(data)
        for opcode, payload in pings:
            (theirs.send_ping if opcode == PING else theirs.send_pong)(payload)
    for piece in split(b"".join(theirs.data_to_send()), cuts):
        ours.receive_data(piece)
    assert ours.parser_exc is None
    events = ours.events_received()
    assert contents(events) == said
    heard = [(event.opcode, event.data) for event in events if event.opcode >= PING]  # type: ignore[union-attr]
    assert heard == [(Opcode(opcode), payload) for _ in said for opcode, payload in pings]


@pytest.mark.parametrize("side", list(Side))
@settings(deadline=None, max_examples=60)
@given(messages, st.lists(st.integers(0), max_size=8))
def test_wsproto_understands_us_and_we_it(
    side: Side, said: list[str | bytes], cuts: list[int]
) -> None:
    kinds = wsproto.connection.ConnectionType
    ours = EventMachine(side)
    theirs = wsproto.connection.Connection(kinds.CLIENT if side is Side.SERVER else kinds.SERVER)
    for message in said:
        say(ours, message, 1)
    for piece in split(b"".join(ours.data_to_send()), cuts):
        theirs.receive_data(piece)
    heard: list[str | bytes] = []
    pending: str | bytes | None = None
    for event in theirs.events():
        assert isinstance(event, wsproto.events.TextMessage | wsproto.events.BytesMessage)
        data = event.data if isinstance(event.data, str) else bytes(event.data)
        pending = data if pending is None else pending + data  # type: ignore[operator]
        if event.message_finished:
            heard.append(pending)
            pending = None
    assert heard == said
    answer = b"".join(
        theirs.send(
            wsproto.events.TextMessage(data=message)
            if isinstance(message, str)
            else wsproto.events.BytesMessage(data=message)
        )
        for message in said
    )
    for piece in split(answer, cuts):
        ours.receive_data(piece)
    assert contents(ours.events_received()) == said


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60), st.lists(st.integers(0), max_size=8))
def test_any_octets_are_judged_like_websockets_does(octets: bytes, cuts: list[int]) -> None:
    """Garbage ends both with the same close code, or leaves both waiting for more.

    Ours may know it earlier: a length that isn't minimal is refused, text at its first wrong octet.
    """
    ours = EventMachine(Side.SERVER)
    theirs = websockets.protocol.Protocol(websockets.protocol.SERVER)
    for piece in split(octets, cuts):
        ours.receive_data(piece)
        if theirs.state is websockets.protocol.OPEN:
            theirs.receive_data(piece)
    verdict = None if ours.close_sent is None else ours.close_sent.code
    if theirs.close_sent is not None:
        stricter = {1002, 1007, 1009}
        assert verdict == theirs.close_sent.code or verdict in stricter
    whole = EventMachine(Side.SERVER)
    whole.receive_data(octets)
    assert whole.close_sent == ours.close_sent
    assert whole.events_received() == ours.events_received()
