"""The words that scenarios are made of. Each makes a step: a dict that is the same in JSON.

Three programs perform steps, `performer.mjs` in a page and in Node, `performer.py` in Python. What
they log has the same form everywhere:

- for every event of every socket, before its handlers see it: the type, the socket, its
  ``readyState`` and ``bufferedAmount``, the interface, and what that kind of event carries;
- for every exception that a step raises: its name, and its legacy code if it has one;
- what the steps `read`, `note`, `describe` and `dispatch` say.

Steps in a row are performed in one turn; `wait`, `until` and `turn` let the loop go on, and can
only stand at the top. In URLs ``{server}`` stands for the address of one of the scenario's servers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Step = dict[str, Any]
URL = "ws://{server}"


@dataclass(frozen=True)
class Scenario:
    """What is done to sockets, one thing after the other.

    Attributes:
        name: For test ids; unique.
        steps: What to do.
        servers: Names of the servers (`servers.py`) that it is performed with, one by one.
        base: Whether relative URLs have a base, as in a page.
        in_flight: Whether messages come while others are still being sent. How much of these has
            left by then is nobody's promise, so `bufferedAmount` at these messages isn't compared.
    """

    name: str
    steps: list[Step]
    servers: tuple[str, ...] = ("ours",)
    base: bool = False
    in_flight: bool = False


def scenario(name: str, *steps: Step, **options: Any) -> Scenario:
    return Scenario(name, list(steps), **options)


def new(url: Any = "/echo", *more: Any, ws: str = "ws", raw: bool = False) -> Step:
    """Make a socket. A path is one of the scenario's server, unless `raw`."""
    if not raw and isinstance(url, str) and url.startswith("/"):
        url = URL + url
    return {"new": [url, *more], "ws": ws}


def call(method: str, *arguments: Any, ws: str = "ws") -> Step:
    return {"call": method, "with": list(arguments), "ws": ws}


def send(*arguments: Any, ws: str = "ws") -> Step:
    return call("send", *arguments, ws=ws)


def close(*arguments: Any, ws: str = "ws") -> Step:
    return call("close", *arguments, ws=ws)


def on(event: str, *steps: Step, ws: str = "ws") -> Step:
    """Set a handler attribute to a function that performs steps."""
    return {"on": event, "do": list(steps), "ws": ws}


def listen(
    event: str,
    *steps: Step,
    name: str = "",
    ws: str = "ws",
    as_object: bool = False,
    **options: Any,
) -> Step:
    """Add a listener that performs steps; listeners of the same name are the same function.

    Args:
        event: Its type.
        steps: What it does.
        name: Of the function; without one it is a new function.
        ws: The socket.
        as_object: Give an object with `handleEvent` instead of a function.
        options: ``capture``, ``once``, ``passive``; ``signal`` names a controller; ``third`` is
            passed instead of all these.
    """
    return {
        "listen": event,
        "do": list(steps),
        "name": name,
        "ws": ws,
        "object": as_object,
        "options": options,
    }


def unlisten(event: str, name: str, *, ws: str = "ws", **options: Any) -> Step:
    return {"unlisten": event, "name": name, "ws": ws, "options": options}


def abort(controller: str) -> Step:
    return {"abort": controller}


def read(*attributes: str, ws: str = "ws") -> Step:
    """Log attributes of a socket; the class's if `ws` is ``WebSocket``."""
    return {"read": list(attributes), "ws": ws}


def assign(attribute: str, value: Any, *, ws: str = "ws") -> Step:
    """Assign to an attribute. Browsers ignore that where Python raises AttributeError."""
    return {"assign": attribute, "value": value, "ws": ws}


def dispatch(interface: str, kind: str, ws: str = "ws", **init: Any) -> Step:
    """Make an event, dispatch it, log the answer."""
    return {"dispatch": kind, "interface": interface, "init": init, "ws": ws}


def construct(interface: str, *arguments: Any, read: tuple[str, ...]) -> Step:
    """Make an event and log some attributes of it."""
    return {"construct": interface, "with": list(arguments), "show": list(read)}


def event(*calls: str) -> Step:
    """Call methods of the event that is being handled, such as `stopImmediatePropagation`."""
    return {"event": list(calls)}


def redispatch() -> Step:
    """Dispatch the event that is being handled once more."""
    return {"redispatch": True}


def describe() -> Step:
    """Log all attributes of the event that is being handled."""
    return {"describe": True}


def note(text: str) -> Step:
    return {"note": text}


def fail(text: str) -> Step:
    """Raise an exception that nobody catches."""
    return {"fail": text}


def wait(event: str, count: int = 1, *, ws: str = "ws") -> Step:
    """Go on in a later turn than that in which the event was handled."""
    return {"wait": event, "count": count, "ws": ws}


def until(attribute: str, value: Any, *, ws: str = "ws") -> Step:
    """Go on when an attribute has a value."""
    return {"until": attribute, "value": value, "ws": ws}


def turn() -> Step:
    return {"turn": True}


def octets(data: bytes, kind: str = "Uint8Array", *, of: int = 0) -> Step:
    """Give binary data.

    Args:
        data: The octets.
        kind: ``ArrayBuffer``, ``Blob``, ``DataView`` or a typed array.
        of: Octets of other content that the buffer holds before and after a view's window.
    """
    return {"octets": data.hex(), "kind": kind, "around": of}


def zeros(size: int, kind: str = "ArrayBuffer") -> Step:
    return {"zeros": size, "kind": kind}


def repeat(text: str, times: int) -> Step:
    return {"repeat": text, "times": times}


UNDEFINED: Step = {"undefined": True}
NAN: Step = {"number": "NaN"}
INFINITY: Step = {"number": "Infinity"}
FUNCTION: Step = {"function": True}
HANDLING_OBJECT: Step = {"handling": True}
"""An object with `handleEvent`."""
