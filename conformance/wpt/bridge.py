"""A page for one test: a JavaScript engine whose globals are proxies of duologue's classes.

It must never know WebSocket: it makes objects of Python classes, gets and sets their attributes and
calls their methods, as ``shim.js`` asks, and calls functions of JavaScript when Python does. What
Python raises is thrown there, and the other way round.

Everything happens in the thread of one event loop: JavaScript's tasks are callbacks of the loop,
and microtasks run after each of them.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import time
from collections.abc import Callable, Mapping
from email.message import Message
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit
from urllib.request import Request

import quickjs

SHIM = (Path(__file__).parent / "shim.js").read_text()


class JavaScriptObject:
    """An object of JavaScript that isn't a proxy of ours."""

    def __init__(self, page: Page, number: int) -> None:
        self._page = page
        self._number = number

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        value = self._page.javascript("get", self, name)
        if value is None:
            raise AttributeError(name)
        return JavaScriptMethod(self, value) if isinstance(value, JavaScriptFunction) else value


class JavaScriptMethod:
    """A function that was looked up on an object, and is called on it."""

    def __init__(self, owner: JavaScriptObject, function: JavaScriptFunction) -> None:
        self._owner = owner
        self._function = function

    def __call__(self, *args: Any) -> Any:
        """Call it."""
        return self._owner._page.javascript("call", self._function, self._owner, *args)


class JavaScriptFunction(JavaScriptObject):
    """A function of JavaScript."""

    def __call__(self, *args: Any) -> Any:
        """Call it."""
        # "this" is what the event is dispatched to.
        this = getattr(args[0], "currentTarget", None) if args else None
        return self._page.javascript("call", self, this, *args)


class JavaScriptError(Exception):
    """What JavaScript threw."""

    def __init__(self, page: Page, value: Any, text: str) -> None:
        super().__init__(text)
        self.page = page
        self.value = value


class Cookies:
    """``document.cookie`` of a page, in a jar.

    Args:
        jar: which sockets have, too.
        location: address of the page.
    """

    def __init__(self, jar: CookieJar, location: str) -> None:
        self._jar = jar
        self._location = location

    def get(self) -> str:
        """Return the page's cookies as it sees them."""
        request = Request(self._location)
        self._jar.add_cookie_header(request)
        return request.get_header("Cookie", "")

    def set(self, text: str) -> None:
        """Set one, as by a response."""
        response = Message()
        response["Set-Cookie"] = text
        self._jar.extract_cookies(_Response(response), Request(self._location))  # type: ignore[arg-type]


class _Response:
    """What a cookie jar wants of a response."""

    def __init__(self, headers: Message) -> None:
        self._headers = headers

    def info(self) -> Message:
        return self._headers


class Page:
    """Runs scripts.

    Args:
        classes: Python classes by the names they have in JavaScript.
        arguments: gives more keyword arguments for the constructor of a class, given its name and
            the other arguments.
        location: address of the page.
        cookies: reads and writes ``document.cookie``.
        load: returns the script of a name.
    """

    def __init__(
        self,
        classes: Mapping[str, type],
        arguments: Callable[[str, tuple[Any, ...]], Mapping[str, Any]],
        location: str,
        cookies: Cookies,
        load: Callable[[str], str],
    ) -> None:
        self._classes = classes
        self._arguments = arguments
        self._location = location
        self._cookies = cookies
        self._load = load
        self._loop = asyncio.get_running_loop()
        self._objects: dict[int, Any] = {}
        self._handles: dict[int, int] = {}
        self._theirs: dict[int, JavaScriptObject] = {}
        self._depth = 0
        self._timers = 0
        self._pending: dict[int, asyncio.TimerHandle] = {}
        self._context = quickjs.Context()
        self._context.set_max_stack_size(16 * 2**20)
        self._context.add_callable("__python", self._answer)
        self._context.eval(SHIM)
        self._enter = self._context.get("__javascript")
        self._fire_timer = self._context.get("__timer")

    # -- from Python to JavaScript

    def run(self, script: str) -> Any:
        """Run a script without its microtasks."""
        return self._context.eval(script)

    def run_microtasks(self) -> None:
        """Run what the scripts have left for the end of the task."""
        while self._context.execute_pending_job():
            pass

    def javascript(self, operation: str, *args: Any) -> Any:
        """Have the shim do something.

        Raises:
            JavaScriptError: If that threw.
        """
        self._depth += 1
        try:
            text = self._enter(operation, json.dumps([self._pass(value) for value in args]))
        finally:
            self._depth -= 1
        if self._depth == 0:
            self.run_microtasks()
        answer = json.loads(text)
        if "thrown" not in answer:
            return self._take(answer["value"])
        thrown = self._take(answer["thrown"])
        if isinstance(thrown, BaseException):
            raise thrown
        raise JavaScriptError(self, thrown, answer["text"])

    def report(self, exc: BaseException) -> None:
        """Report what nobody caught to the page."""
        self.javascript("report", exc)

    def close(self) -> None:
        """Run no more timers."""
        for timer in self._pending.values():
            timer.cancel()

    # -- from JavaScript to Python

    def _answer(self, operation: str, text: str) -> str:
        self._depth += 1
        try:
            args = [self._take(value) for value in json.loads(text)]
            while args and args[-1] is None and operation in ("make", "call"):
                args.pop()
            value = getattr(self, f"_do_{operation}")(*args)
            return json.dumps({"value": self._pass(value)})
        except Exception as exc:
            return json.dumps({"thrown": self._pass(exc)})
        finally:
            self._depth -= 1

    def _do_make(self, name: str, *args: Any) -> int:
        made = self._classes[name](*args, **self._arguments(name, args))
        return self._handle(made)

    def _do_get(self, owner: Any, name: str) -> Any:
        return getattr(owner, name)

    def _do_set(self, owner: Any, name: str, value: Any = None) -> None:
        setattr(owner, name, value)

    def _do_call(self, owner: Any, name: str, *args: Any) -> Any:
        result = getattr(owner, name)(*args)
        return self._loop.create_task(result) if inspect.iscoroutine(result) else result

    def _do_constant(self, name: str, key: str) -> Any:
        return getattr(self._classes[name], key)

    def _do_log(self, text: str) -> None:
        """Scripts print for people only."""

    def _do_get_cookies(self) -> str:
        return self._cookies.get()

    def _do_set_cookie(self, text: str) -> None:
        self._cookies.set(text)

    def _do_import(self, name: str) -> None:
        self.run(self._load(name))

    def _do_now(self) -> float:
        return time.monotonic() * 1000

    def _do_location(self) -> str:
        return self._location

    def _do_url(self, url: str, base: str | None = None) -> dict[str, str]:
        parts = urlsplit(url if base is None else urljoin(base, url))
        if url == "?":
            # Which urljoin() takes for nothing.
            parts = parts._replace(query="", path=f"{parts.path}?")
        return {
            "scheme": parts.scheme,
            "host": parts.netloc,
            "hostname": parts.hostname or "",
            "port": str(parts.port or ""),
            "pathname": parts.path or "/",
            "search": parts.query and f"?{parts.query}",
            "hash": parts.fragment and f"#{parts.fragment}",
        }

    def _do_timer(self, delay: float | None = 0, number: int | None = None) -> int:
        if number is None:
            self._timers += 1
            number = self._timers
        self._pending[number] = self._loop.call_later((delay or 0) / 1000, self._timer, number)
        return number

    def _timer(self, number: int) -> None:
        self._pending.pop(number, None)
        self._fire_timer(number)
        self.run_microtasks()

    def _settle(self, promise: asyncio.Future[Any]) -> None:
        exc = None if promise.cancelled() else promise.exception()
        value = exc or (None if promise.cancelled() else promise.result())
        self.javascript("settle", self._handle(promise), exc is None, value)

    # -- values across the border

    def _handle(self, value: Any) -> int:
        handle = self._handles.get(id(value))
        if handle is None:
            handle = self._handles[id(value)] = len(self._objects)
            # Held, so that nothing else gets its id.
            self._objects[handle] = value
        return handle

    def _pass(self, value: Any) -> Any:
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if abs(value) < float("inf") else {"number": str(value)}
        if isinstance(value, bytes | bytearray | memoryview):
            return {"octets": _packed(bytes(value))}
        if isinstance(value, JavaScriptMethod):
            value = value._function
        if isinstance(value, JavaScriptObject):
            return {"javascript": value._number}
        if isinstance(value, JavaScriptError):
            return self._pass(value.value)
        if isinstance(value, asyncio.Future):
            if id(value) not in self._handles:
                self._handle(value)
                value.add_done_callback(self._settle)
            return {"promise": self._handle(value)}
        if hasattr(value, "_asdict"):
            value = value._asdict()
        if isinstance(value, dict):
            return {"members": {name: self._pass(member) for name, member in value.items()}}
        if isinstance(value, list | tuple):
            return {"list": [self._pass(member) for member in value]}
        for kind in type(value).__mro__:
            if kind.__name__ in self._classes or kind is TypeError:
                return {
                    "python": self._handle(value),
                    "type": kind.__name__,
                    "message": str(value) if kind is TypeError else "",
                }
        return {"python": self._handle(value), "type": "TypeError", "message": repr(value)}

    def _take(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if "undefined" in value:
            return None
        if "number" in value:
            return float(value["number"].replace("Infinity", "inf"))
        if "octets" in value:
            return _unpacked(value["octets"])
        if "list" in value:
            return [self._take(member) for member in value["list"]]
        if "members" in value:
            return {name: self._take(member) for name, member in value["members"].items()}
        if "python" in value:
            return self._objects[value["python"]]
        number = value["javascript"]
        if number not in self._theirs:
            kind = JavaScriptFunction if value["callable"] else JavaScriptObject
            self._theirs[number] = kind(self, number)
        return self._theirs[number]


def _packed(octets: bytes) -> str:
    """Write each octet as the character 256 above it: NUL is none that the engine passes on."""
    both = bytearray(2 * len(octets))
    both[::2] = octets
    both[1::2] = b"\x01" * len(octets)
    return both.decode("utf-16-le")


def _unpacked(text: str) -> bytes:
    return text.encode("utf-16-le")[::2]
