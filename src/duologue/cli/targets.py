"""What ``duologue serve`` can be asked to serve: a front-end by name, or a handler of one's own.

It must never know where the server listens.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from duologue.asyncio.server import ServerConnection
from duologue.cli.failure import Failure
from duologue.connection.endpoint import Endpoint
from duologue.frontends.chat import Chat
from duologue.frontends.echo import Echo
from duologue.http11 import Request, Response

__all__ = [
    "Service",
    "attribute",
    "chat",
    "echo",
    "imported",
    "is_factory",
    "is_target",
    "made",
]


@dataclass(frozen=True, slots=True)
class Service:
    """Something to serve.

    Attributes:
        handler: The coroutine function that talks on one connection, or an endpoint.
        process_request: What answers plain HTTP; ``None`` leaves it to the opening handshake.
        listening: Called with the TCP port once the server listens.
    """

    handler: Callable[[ServerConnection], Awaitable[None]] | Endpoint
    process_request: Callable[[ServerConnection, Request], Response | None] | None = None
    listening: Callable[[int], object] | None = None


def is_target(text: str) -> bool:
    """Tells whether a text has the form ``module:attribute``, dots allowed on either side.

    Args:
        text: The text.
    """
    module, colon, attribute = text.partition(":")
    names = [*module.split("."), *attribute.split(".")]
    return colon == ":" and all(name.isidentifier() for name in names)


def echo(greeting: str | None) -> Service:
    """Returns the echo.

    Args:
        greeting: What it says first, see :class:`duologue.frontends.echo.Echo`.
    """
    frontend = Echo(greeting)
    return Service(frontend.handler, frontend.process_request)


def chat(log: Callable[[str], object]) -> Service:
    """Returns the chat.

    Args:
        log: Called with each line of its log, see :class:`duologue.frontends.chat.Chat`.
    """
    room = Chat(log)
    return Service(room.handler, listening=room.listening)


def attribute(target: str) -> object:
    """Imports what a target names, looking in the current directory first.

    Args:
        target: ``module:attribute``, see :func:`is_target`.

    Raises:
        Failure: If it can't be imported.
    """
    module_name, _, names = target.partition(":")
    value: object = _module(module_name)
    for name in names.split("."):
        try:
            value = getattr(value, name)
        except AttributeError:
            raise Failure(f"module {module_name!r} has no attribute {names!r}") from None
    return value


def imported(target: str) -> Service:
    """Imports a handler, looking in the current directory first.

    Args:
        target: ``module:attribute``, see :func:`is_target`.

    Raises:
        Failure: If it can't be imported or isn't a handler.
    """
    value = attribute(target)
    if isinstance(value, type) and issubclass(value, Endpoint):
        value = made(target, value)
    if not isinstance(value, Endpoint):
        _check(target, value)
    return Service(value)  # type: ignore[arg-type]  # _check has looked


def is_factory(value: object) -> bool:
    """Tells whether something is a function that makes an application: it takes no arguments.

    Args:
        value: Anything.
    """
    if not inspect.isfunction(value) or inspect.iscoroutinefunction(value):
        return False
    return not inspect.signature(value).parameters


def made(target: str, factory: Any) -> Any:
    """Returns what a class or another factory makes.

    Args:
        target: Where it is.
        factory: What to call.

    Raises:
        Failure: If it raises, or can't be called so.
    """
    try:
        return factory()
    except Exception as error:
        raise Failure(f"{target} can't be made: {_located(error)}") from error


def _module(name: str) -> ModuleType:
    directory = os.getcwd()
    if directory not in sys.path:
        sys.path.insert(0, directory)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # The module itself, or a package it is in; not something that it imports.
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise Failure(f"there is no module {name!r} (looked in {directory} first)") from None
        raise Failure(f"importing {name!r} failed: {_located(error)}") from error
    except Exception as error:
        raise Failure(f"importing {name!r} failed: {_located(error)}") from error


def _located(error: Exception) -> str:
    text = traceback.format_exception_only(error)[-1].strip()
    last = traceback.extract_tb(error.__traceback__)[-1]
    if isinstance(error, SyntaxError):
        return f"{text} ({error.filename}, line {error.lineno})"
    return f"{text} ({last.filename}, line {last.lineno})"


def _check(target: str, value: object) -> None:
    wanted = (
        "a handler is an 'async def' function that takes the connection, or an Endpoint; "
        "an App or an ASGI application will do, too"
    )
    if not callable(value):
        raise Failure(f"{target} is of type {type(value).__name__}, not a handler: {wanted}")
    if isinstance(value, type):
        raise Failure(f"{target} is a class, not a handler: {wanted}")
    called = getattr(value, "__call__", None)  # noqa: B004 -- an object with an async __call__ will do
    if not (inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(called)):
        raise Failure(f"{target} is not a coroutine function: {wanted}")
    with contextlib.suppress(ValueError):  # no signature to be had
        signature = inspect.signature(value)
        try:
            signature.bind(object())
        except TypeError as error:
            raise Failure(f"{target}{signature} can't be a handler, {error}: {wanted}") from None
