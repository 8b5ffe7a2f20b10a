"""HTTP Basic authentication for ``process_request`` (RFC 7617)."""

from __future__ import annotations

import hmac
import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from duologue.base.exceptions import InvalidHeader
from duologue.server.connection import ServerConnection
from duologue.wire.grammar import build_www_authenticate_basic, parse_authorization_basic
from duologue.wire.http11 import Request, Response

Check = Callable[[str, str], Awaitable[bool] | bool]


def _is_pair(credentials: Any) -> bool:
    return (
        isinstance(credentials, tuple | list)
        and len(credentials) == 2
        and all(isinstance(each, str) for each in credentials)
    )


def check_against(credentials: Any) -> Check:
    """Make a check for one pair of name and password, or for several."""
    pairs = [credentials] if _is_pair(credentials) else credentials
    if not isinstance(pairs, Iterable):
        raise TypeError(f"invalid credentials argument: {credentials}")
    pairs = list(pairs)
    if not all(_is_pair(pair) for pair in pairs):
        raise TypeError(f"invalid credentials argument: {credentials}")
    known = dict(pairs)

    def check(username: str, password: str) -> bool:
        expected = known.get(username)
        # Compared in any case, so that time doesn't tell which names exist.
        same = hmac.compare_digest(
            (expected or "").encode("utf-8", "surrogateescape"),
            password.encode("utf-8", "surrogateescape"),
        )
        return same and expected is not None

    return check


def prepare(
    realm: str, credentials: Any, check_credentials: Check | None
) -> tuple[Check, Callable[[Any, str], Response]]:
    """What judges credentials, and what refuses who has none that are right."""
    if (credentials is None) == (check_credentials is None):
        raise ValueError("provide either credentials or check_credentials")

    def refuse(connection: Any, text: str) -> Response:
        response: Response = connection.respond(401, f"{text}\n")
        response.headers["WWW-Authenticate"] = build_www_authenticate_basic(realm)
        return response

    return check_credentials or check_against(credentials), refuse


def read_credentials(request: Request) -> tuple[str, str] | str:
    """Name and password that came with a request, or what is wrong with them."""
    values = request.headers.get_all("Authorization")
    if len(values) != 1:
        return "Missing credentials"
    try:
        return parse_authorization_basic(values[0])
    except InvalidHeader:
        return "Unsupported credentials"


def basic_auth(
    realm: str = "",
    credentials: tuple[str, str] | Iterable[tuple[str, str]] | None = None,
    check_credentials: Check | None = None,
) -> Callable[[ServerConnection, Request], Awaitable[Response | None]]:
    """Make a ``process_request`` that demands HTTP Basic authentication.

    Whoever passes is named by the connection's ``username``; others get a 401.

    Args:
        realm: what is protected, in ASCII.
        credentials: a ``(username, password)`` pair or several of them.
        check_credentials: function or coroutine function instead, from username and password to
            whether they are right.

    Returns:
        A coroutine function for ``serve(..., process_request=)``.

    Raises:
        TypeError: If ``credentials`` has another shape.
        ValueError: If not exactly one of ``credentials`` and ``check_credentials`` is given.
    """
    check, refuse = prepare(realm, credentials, check_credentials)

    async def process_request(connection: ServerConnection, request: Request) -> Response | None:
        given = read_credentials(request)
        if isinstance(given, str):
            return refuse(connection, given)
        valid = check(*given)
        if inspect.isawaitable(valid):
            valid = await valid
        if not valid:
            return refuse(connection, "Invalid credentials")
        connection.username = given[0]
        return None

    return process_request
