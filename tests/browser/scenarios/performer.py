"""Performs scenarios (language.py) with `duologue.WebSocket`; the same as `performer.mjs`.

A program of its own: the job comes on standard input, the logs go to standard output. Its argument
says how: ``asyncio``, in coroutines of a running loop; or ``threads``, in threads without one, as a
script does it. There a row of steps is a turn only because the background loop is held meanwhile: a
script's thread and that loop's otherwise go on side by side.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import duologue
from duologue.client.browser.background import background

Step = dict[str, Any]
Entry = dict[str, Any]
FORMATS = {"Int8Array": "b", "Uint16Array": "H", "Float64Array": "d"}
AT_ONCE = 16


class Handling:
    """An object that listens."""

    def __init__(self, handle: Callable[[Any], None]) -> None:
        self.handleEvent = handle


def value_of(value: Any) -> Any:
    """Turn a step's value into what Python has for it."""
    if isinstance(value, list):
        return [value_of(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "undefined" in value:
        return None
    if "number" in value:
        return float(value["number"])
    if "function" in value:
        return lambda event: None
    if "handling" in value:
        return Handling(lambda event: None)
    if "repeat" in value:
        return value["repeat"] * value["times"]
    if "zeros" in value:
        return binary(bytes(value["zeros"]), value["kind"], 0)
    if "octets" in value:
        return binary(bytes.fromhex(value["octets"]), value["kind"], value["around"])
    return {key: value_of(inner) for key, inner in value.items()}


def binary(octets: bytes, kind: str, around: int) -> Any:
    if kind == "Blob":
        return duologue.Blob([octets])
    if kind == "ArrayBuffer":
        return octets
    padded = bytearray(b"\xee" * around + octets + b"\xee" * around)
    window = memoryview(padded)[around : around + len(octets)]
    return window.cast(FORMATS[kind]) if kind in FORMATS else window


def hexadecimal(octets: bytes) -> str:
    return octets.hex() if len(octets) <= 64 else f"{len(octets)} octets"


def shown(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= 200 else f"{len(value)} characters"
    if value is None or isinstance(value, bool | int | float):
        return value
    return "function" if callable(value) else "object"


class Performance:
    """One scenario with its sockets."""

    def __init__(self, scenario: dict[str, Any], base: str) -> None:
        self.name = scenario["name"]
        self.steps: list[Step] = scenario["steps"]
        self.options = {"base": base} if scenario["base"] else {}
        self.log: list[Entry] = []
        self.sockets: dict[str, Any] = {"WebSocket": duologue.WebSocket}
        self.seen: Counter[str] = Counter()
        self.told: Callable[[], None] = lambda: None
        self.listeners: dict[str, Any] = {}
        self.controllers: dict[str, Any] = {}

    def turns(self) -> Iterator[list[Step]]:
        """Give rows of steps; what makes the loop go on begins a row, or ends all."""
        row: list[Step] = []
        for step in self.steps:
            if "wait" in step or "until" in step or "turn" in step:
                yield row
                row = []
            row.append(step)
        yield row

    def is_so(self, condition: Step) -> bool:
        """Whether what a `wait` or `until` is about has come."""
        if "wait" in condition:
            return self.seen[f"{condition['ws']} {condition['wait']}"] >= condition["count"]
        if "until" in condition:
            socket = self.sockets[condition["ws"]]
            return bool(getattr(socket, condition["until"]) == condition["value"])
        return True

    def live(self) -> list[Any]:
        return [socket for name, socket in self.sockets.items() if name != "WebSocket"]

    def all(self, steps: list[Step], event: Any = None) -> None:
        for step in steps:
            if "fail" in step:
                raise RuntimeError(f"{self.name}: {step['fail']}")
            try:
                self.attempt(step, event)
            except duologue.DOMException as exc:
                self.log.append({"raised": exc.name, "code": exc.code})
            except TypeError as exc:
                self.log.append({"raised": type(exc).__name__, "code": None})

    def attempt(self, step: Step, event: Any) -> None:
        socket = self.sockets.get(step.get("ws", ""))
        if "new" in step:
            self.make(step["ws"], value_of(step["new"]))
        elif "call" in step:
            returned = getattr(socket, step["call"])(*value_of(step["with"]))
            if returned is not None:
                self.log.append({"returned": shown(returned)})
        elif "on" in step:
            setattr(socket, f"on{step['on']}", self.handler(step["do"]))
        elif "listen" in step:
            socket.addEventListener(step["listen"], self.listener(step), *self.listening(step))
        elif "unlisten" in step:
            listener = self.listeners[step["name"]]
            socket.removeEventListener(step["unlisten"], listener, *self.listening(step))
        elif "abort" in step:
            self.controller(step["abort"]).abort()
        elif "read" in step:
            for name in step["read"]:
                self.log.append({"read": name, "is": shown(getattr(socket, name))})
        elif "assign" in step:
            with contextlib.suppress(AttributeError):  # read-only
                setattr(socket, step["assign"], value_of(step["value"]))
        elif "dispatch" in step:
            made = getattr(duologue, step["interface"])(step["dispatch"], step["init"])
            self.log.append({"dispatched": step["dispatch"], "is": socket.dispatchEvent(made)})
        elif "construct" in step:
            made = getattr(duologue, step["construct"])(*value_of(step["with"]))
            for name in step["show"]:
                self.log.append({"read": name, "is": shown(getattr(made, name))})
        elif "event" in step:
            for method in step["event"]:
                getattr(event, method)()
        elif "redispatch" in step:
            event.currentTarget.dispatchEvent(event)
        elif "describe" in step:
            self.describe(event)
        elif "note" in step:
            self.log.append({"note": step["note"]})
        elif "wait" not in step and "until" not in step and "turn" not in step:
            raise ValueError(f"unknown step {step}")

    def make(self, name: str, parameters: list[Any]) -> None:
        socket = duologue.WebSocket(*parameters, **self.options)
        self.sockets[name] = socket
        for kind in ("open", "message", "error", "close"):
            socket.addEventListener(kind, lambda event: self.record(name, socket, event))

    def record(self, name: str, socket: Any, event: Any) -> None:
        entry: Entry = {
            "event": event.type,
            "ws": name,
            "readyState": socket.readyState,
            "bufferedAmount": socket.bufferedAmount,
            "interface": type(event).__name__,
        }
        self.log.append(entry)
        if event.type == "message":
            entry["origin"] = event.origin
            entry["data"] = received(event.data)
        elif event.type == "close":
            entry |= {"code": event.code, "reason": event.reason, "wasClean": event.wasClean}
        self.seen[f"{name} {event.type}"] += 1
        self.told()

    def handler(self, steps: list[Step]) -> Callable[[Any], None]:
        return lambda event: self.all(steps, event)

    def listener(self, step: Step) -> Any:
        name = step["name"]
        if name and name in self.listeners:
            return self.listeners[name]
        handler = self.handler(step["do"])
        listener = Handling(handler) if step["object"] else handler
        if name:
            self.listeners[name] = listener
        return listener

    def listening(self, step: Step) -> list[Any]:
        options = dict(step["options"])
        if "third" in options:
            return [options["third"]]
        if "signal" in options:
            options["signal"] = self.controller(options["signal"]).signal
        return [options]

    def controller(self, name: str) -> Any:
        if name not in self.controllers:
            self.controllers[name] = duologue.AbortController()
        return self.controllers[name]

    def describe(self, event: Any) -> None:
        names = ["type", "isTrusted", "bubbles", "cancelable", "composed", "eventPhase"]
        names += ["defaultPrevented", "cancelBubble", "returnValue"]
        if event.type == "message":
            names += ["origin", "lastEventId", "source"]
        about = {name: getattr(event, name) for name in names}
        socket = self.sockets["ws"]
        about["target"] = event.target is socket
        about["currentTarget"] = event.currentTarget is socket
        about["this"] = True  # Python's functions have none
        about["path"] = [target is socket for target in event.composedPath()]
        about["timeStamp"] = "number" if isinstance(event.timeStamp, float | int) else "other"
        if event.type == "message":
            about["ports"] = len(event.ports)
        self.log.append({"about": about})


def received(data: Any) -> Any:
    if isinstance(data, bytes):
        return {"ArrayBuffer": hexadecimal(data)}
    if isinstance(data, duologue.Blob):
        octets = hexadecimal(bytes(data))
        return {"Blob": data.size, "type": data.type, "octets": octets}
    return shown(data)


class Reports:
    """Collects exceptions that nobody has caught."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def of_loop(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.texts.append(str(context.get("exception") or context["message"]))

    def of_interpreter(self, kind: type[BaseException], exc: BaseException, trace: Any) -> None:
        self.texts.append(str(exc))


async def with_asyncio(job: dict[str, Any], reports: Reports) -> dict[str, list[Entry]]:
    asyncio.get_running_loop().set_exception_handler(reports.of_loop)
    logs: dict[str, list[Entry]] = {}
    free = asyncio.Semaphore(AT_ONCE)

    async def perform(performance: Performance) -> None:
        news = asyncio.Event()
        performance.told = news.set
        try:
            async with free, asyncio.timeout(job["limit"]):
                for row in performance.turns():
                    if row:
                        while not performance.is_so(row[0]):
                            news.clear()
                            # An attribute tells nobody that it has changed.
                            with contextlib.suppress(TimeoutError):
                                await asyncio.wait_for(news.wait(), 0.005)
                        await asyncio.sleep(0)
                    performance.all(row)
        except TimeoutError:
            performance.log.append({"late": True})
        logs[performance.name] = list(performance.log)
        for socket in performance.live():
            socket.close()
            await socket.wait_closed()

    performances = [Performance(one, job["base"]) for one in job["scenarios"]]
    await asyncio.gather(*(perform(one) for one in performances))
    return logs


@contextlib.contextmanager
def held(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Hold the loop between two of its iterations."""
    holding, released = threading.Event(), threading.Event()

    def hold() -> None:
        holding.set()
        released.wait()

    loop.call_soon_threadsafe(hold)
    holding.wait()
    try:
        yield
    finally:
        released.set()


def with_threads(job: dict[str, Any], reports: Reports) -> dict[str, list[Entry]]:
    loop = background().loop
    loop.call_soon_threadsafe(loop.set_exception_handler, reports.of_loop)
    sys.excepthook = reports.of_interpreter
    logs: dict[str, list[Entry]] = {}

    def perform(scenario: dict[str, Any]) -> None:
        performance = Performance(scenario, job["base"])
        news = threading.Event()
        performance.told = news.set
        deadline = time.monotonic() + job["limit"]
        for row in performance.turns():
            while row and not performance.is_so(row[0]) and time.monotonic() < deadline:
                news.wait(0.005)
                news.clear()
            with held(loop):
                performance.all(row)
        with held(loop):
            logs[performance.name] = list(performance.log)
        if time.monotonic() > deadline:
            logs[performance.name].append({"late": True})
        for socket in performance.live():
            socket.close()
            socket.wait_closed(job["limit"])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(perform, job["scenarios"]))
    return logs


def main() -> None:
    job = json.load(sys.stdin)
    reports = Reports()
    if sys.argv[1] == "asyncio":
        logs = asyncio.run(with_asyncio(job, reports))
    else:
        logs = with_threads(job, reports)
    for report in reports.texts:
        name, _, text = report.partition(": ")
        logs[name].append({"reported": text})
    json.dump(logs, sys.stdout)


if __name__ == "__main__":
    main()
