"""Handlers: finding them, and calling them for a connection.

A handler is a file whose name ends with ``_wsh.py``. It is run once, at the start; what it defines
under three names is called, each time in the thread of the connection:

* ``web_socket_do_extra_handshake(request)`` before the 101; any exception refuses the connection;
* ``web_socket_transfer_data(request)`` after it; when it returns the connection is closed;
* ``web_socket_passive_closing_handshake(request)``, if there is one, returns code and reason of the
  Close frame that answers the peer's.

Each may be ``async def``; :mod:`duologue.frontends.pywebsocket.coroutines` runs those.
"""

from __future__ import annotations

import logging
import os
import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from duologue.frontends.pywebsocket import common
from duologue.frontends.pywebsocket.coroutines import answer, call
from duologue.frontends.pywebsocket.exceptions import (
    AbortedByUserException,
    BadOperationException,
    ConnectionTerminatedException,
    DispatchException,
    HandshakeException,
    InvalidFrameException,
    InvalidUTF8Exception,
    MessageTooBigException,
    UnsupportedFrameException,
)
from duologue.frontends.pywebsocket.util import prepend_message_to_exception

__all__ = ["DispatchException", "Dispatcher", "HandlerSuite", "read_map"]

_logger = logging.getLogger(__name__)

_SUFFIX = "_wsh.py"
_OPENING = "web_socket_do_extra_handshake"
_TALKING = "web_socket_transfer_data"
_CLOSING = "web_socket_passive_closing_handshake"

# What a handler lets out, and the code it is closed with; subclasses first.
_CODES: tuple[tuple[type[Exception], int], ...] = (
    (BadOperationException, common.STATUS_INTERNAL_ENDPOINT_ERROR),
    (InvalidFrameException, common.STATUS_PROTOCOL_ERROR),
    (MessageTooBigException, common.STATUS_MESSAGE_TOO_BIG),
    (UnsupportedFrameException, common.STATUS_UNSUPPORTED_DATA),
    (InvalidUTF8Exception, common.STATUS_INVALID_FRAME_PAYLOAD_DATA),
)

# What closing a connection may raise that is broken already.
_BROKEN: tuple[type[Exception], ...] = (
    ConnectionTerminatedException,
    OSError,
    *(kind for kind, _ in _CODES),
)


def _close_normally(request: Any) -> tuple[int, str]:
    return common.STATUS_NORMAL_CLOSURE, ""


@dataclass(frozen=True, slots=True)
class HandlerSuite:
    """The functions of one handler.

    Attributes:
        do_extra_handshake: Called before the 101.
        transfer_data: Called after it.
        passive_closing_handshake: Called when the peer closes.
    """

    do_extra_handshake: Callable[[Any], Any]
    transfer_data: Callable[[Any], Any]
    passive_closing_handshake: Callable[[Any], Any]


def _source(path: str, encoding: str | None) -> HandlerSuite:
    """Runs a handler's file."""
    names: dict[str, Any] = {}
    try:
        with open(path, encoding=encoding) as file:
            text = file.read()
        exec(compile(text, path, "exec", dont_inherit=True), names)
    except (Exception, SystemExit):
        raise DispatchException(f"Error in sourcing handler:{traceback.format_exc()}") from None
    for name in (_OPENING, _TALKING):
        if name not in names:
            raise DispatchException(f"{name} is not defined.")
        if not callable(names[name]):
            raise DispatchException(f"{name} is not callable.")
    closing = names.get(_CLOSING)
    return HandlerSuite(
        names[_OPENING], names[_TALKING], closing if callable(closing) else _close_normally
    )


def _files(directory: str) -> Iterator[str]:
    """Yields the handlers' files in a directory and those below it, links to directories not."""
    for root, directories, files in os.walk(directory):
        directories.sort()
        yield from (os.path.join(root, name) for name in sorted(files) if name.endswith(_SUFFIX))


def _is_below(path: str, directory: str) -> bool:
    return os.path.commonpath((path, directory)) == directory


class Dispatcher:
    """All handlers, by resource.

    Args:
        root_dir: Resources are paths relative to it.
        scan_dir: Where handlers are looked for, in it or below; ``None`` for everywhere.
        allow_handlers_outside_root_dir: Whether a link may lead to a file outside.
        handler_encoding: Of the files; ``None`` for the locale's.

    Raises:
        DispatchException: If ``scan_dir`` isn't below ``root_dir``, or isn't there.
    """

    def __init__(
        self,
        root_dir: str,
        scan_dir: str | None = None,
        allow_handlers_outside_root_dir: bool = True,
        handler_encoding: str | None = None,
    ) -> None:
        self._suites: dict[str, HandlerSuite] = {}
        self._warnings: list[str] = []
        root = os.path.realpath(root_dir)
        scanned = os.path.realpath(scan_dir or root_dir)
        if not _is_below(scanned, root):
            raise DispatchException(
                f"scan_dir:{scan_dir} must be a directory under root_dir:{root_dir}."
            )
        if not os.path.isdir(scanned):
            raise DispatchException(f"{scan_dir or root_dir} is not a directory.")
        for path in _files(scanned):
            if not allow_handlers_outside_root_dir and not _is_below(os.path.realpath(path), root):
                _logger.debug("Canonical path of %s is not under root directory", path)
                continue
            self._add(path, root, handler_encoding)

    def _add(self, path: str, root: str, encoding: str | None) -> None:
        resource = "/" + os.path.relpath(path, root).removesuffix(_SUFFIX).replace(os.sep, "/")
        try:
            self._suites[resource] = _source(path, encoding)
        except DispatchException as error:
            self._warnings.append(f"{path}: {error}")

    def resources(self) -> list[str]:
        """Returns all resources that have a handler."""
        return list(self._suites)

    def source_warnings(self) -> list[str]:
        """Returns what was wrong with files that are no handlers for it."""
        return self._warnings

    def add_resource_path_alias(
        self, alias_resource_path: str, existing_resource_path: str
    ) -> None:
        """Gives a handler a second resource.

        Raises:
            DispatchException: If the first doesn't exist.
        """
        try:
            self._suites[alias_resource_path] = self._suites[existing_resource_path]
        except KeyError:
            raise DispatchException(f"No handler for: {existing_resource_path!r}") from None

    def get_handler_suite(self, resource: str) -> HandlerSuite | None:
        """Returns the handler of a resource, whose query doesn't matter; ``None`` if it has none.

        Raises:
            DispatchException: With status 400, if it has one, but the resource has a fragment.
        """
        rest, _, fragment = resource.partition("#")
        suite = self._suites.get(rest.partition("?")[0])
        if suite is not None and fragment:
            raise DispatchException(
                "Fragment identifiers MUST NOT be used on WebSocket URIs",
                common.HTTP_STATUS_BAD_REQUEST,
            )
        return suite

    def _suite(self, request: Any) -> HandlerSuite:
        suite = self.get_handler_suite(request.ws_resource)
        if suite is None:
            raise DispatchException(f"No handler for: {request.ws_resource!r}")
        return suite

    def do_extra_handshake(self, request: Any) -> None:
        """Asks the handler whether the connection may open.

        Raises:
            AbortedByUserException: If it is to end without an answer.
            HandshakeException: With status 403, if the handler raised anything else.
        """
        function = self._suite(request).do_extra_handshake
        try:
            call(function, request)
        except AbortedByUserException:
            raise
        except Exception as error:
            prepend_message_to_exception(
                f"{_OPENING} raised exception for {request.ws_resource}: ", error
            )
            raise HandshakeException(error, common.HTTP_STATUS_FORBIDDEN) from error

    def transfer_data(self, request: Any) -> None:
        """Lets the handler talk, then closes the connection, with a code that tells how it ended.

        Raises:
            AbortedByUserException: If TCP is to be closed without a word.
            Exception: What the handler lets out and has no code; TCP is to be closed likewise.
        """
        try:
            call(self._suite(request).transfer_data, request)
            request.ws_stream.close_connection()
        except AbortedByUserException:
            raise
        except Exception as error:
            code = next((code for kind, code in _CODES if isinstance(error, kind)), None)
            if code is not None:
                _logger.debug("%s", error)
                self._close(request, code)
            elif isinstance(error, ConnectionTerminatedException):
                _logger.debug("%s", error)
            else:
                prepend_message_to_exception(
                    f"{_TALKING} raised exception for {request.ws_resource}: ", error
                )
                raise

    def _close(self, request: Any, code: int) -> None:
        try:
            request.ws_stream.close_connection(code)
        except _BROKEN as error:
            _logger.debug("%s", error)

    def passive_closing_handshake(self, request: Any) -> tuple[int | None, str | None]:
        """Asks the handler how to answer the peer's Close frame."""
        suite = self.get_handler_suite(request.ws_resource)
        function = _close_normally if suite is None else suite.passive_closing_handshake
        code, reason = answer(function, request)
        return code, reason


def read_map(path: str, dispatcher: Dispatcher) -> None:
    """Reads a file of aliases: a resource and one that exists, on each line.

    Args:
        path: The file. Lines that begin with ``#`` are comments.
        dispatcher: Gets the aliases.

    Raises:
        OSError: If it can't be read.
    """
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith("#") or line.isspace():
                continue
            found = re.match(r"(\S+)\s+(\S+)$", line)
            if found is None:
                _logger.warning("Wrong format in map file:%s", line.rstrip())
                continue
            try:
                dispatcher.add_resource_path_alias(found[1], found[2])
            except DispatchException as error:
                _logger.error("%s", error)
