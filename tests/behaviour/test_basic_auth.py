"""HTTP Basic Authentication (RFC 7617) as a ``process_request``."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from .ends import accepting, echo, url
from .library import Library

PAIR = ("hello", "iloveyou")


async def check(username: str, password: str) -> bool:
    await asyncio.sleep(0)
    return (username, password) == PAIR


def check_now(username: str, password: str) -> bool:
    return (username, password) == PAIR


WAYS: list[dict[str, Any]] = [
    {"credentials": PAIR},
    {"credentials": [PAIR]},
    {"credentials": [("someone", "else"), PAIR]},
    {"check_credentials": check},
    {"check_credentials": check_now},
]


def with_credentials(address: str, username: str, password: str) -> str:
    return address.replace("ws://", f"ws://{username}:{password}@")


@pytest.mark.parametrize("way", WAYS)
async def test_right_credentials(lib: Library, way: dict[str, Any]) -> None:
    async with accepting(lib, process_request=lib.basic_auth(realm="r", **way)) as (
        server,
        accepted,
    ):
        async with lib.connect(with_credentials(url(server), *PAIR)):
            assert (await accepted.get()).username == "hello"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wrong", [("hello", "wrong"), ("wrong", "iloveyou")])
async def test_wrong_credentials(lib: Library, way: dict[str, Any], wrong: tuple[str, str]) -> None:
    auth = lib.basic_auth(realm="behaviour suite", **way)
    async with lib.serve(echo, "127.0.0.1", 0, process_request=auth) as server:
        with pytest.raises(lib.InvalidStatus) as raised:
            await lib.connect(with_credentials(url(server), *wrong))
    response = raised.value.response
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Basic realm="behaviour suite", charset="UTF-8"'


@pytest.mark.parametrize(
    "authorization", [None, "Negotiate abcd", "Basic", "Basic !!!", "Basic aGVsbG8="]
)
async def test_no_credentials(lib: Library, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    auth = lib.basic_auth(realm="r", credentials=PAIR)
    async with lib.serve(echo, "127.0.0.1", 0, process_request=auth) as server:
        with pytest.raises(lib.InvalidStatus) as raised:
            await lib.connect(url(server), additional_headers=headers)
    assert raised.value.response.status_code == 401
    assert "WWW-Authenticate" in raised.value.response.headers


async def test_credentials_may_hold_any_character(lib: Library) -> None:
    pair = ("hällo", "i:löve you")
    header = lib.build_authorization_basic(*pair)
    assert lib.parse_authorization_basic(header) == pair
    auth = lib.basic_auth(credentials=pair)
    async with accepting(lib, process_request=auth) as (server, accepted):
        async with lib.connect(url(server), additional_headers={"Authorization": header}):
            assert (await accepted.get()).username == pair[0]


@pytest.mark.parametrize("credentials", ["hello", ("hello", 42), [("hello", 42)], ["hello"], 42])
def test_credentials_of_the_wrong_type(lib: Library, credentials: Any) -> None:
    with pytest.raises(TypeError):
        lib.basic_auth(credentials=credentials)


def test_one_of_credentials_and_check_credentials(lib: Library) -> None:
    with pytest.raises(ValueError):
        lib.basic_auth()
    with pytest.raises(ValueError):
        lib.basic_auth(credentials=PAIR, check_credentials=check)


async def test_failing_check_is_a_500(lib: Library) -> None:
    def fail(username: str, password: str) -> bool:
        raise ZeroDivisionError

    auth = lib.basic_auth(check_credentials=fail)
    async with lib.serve(echo, "127.0.0.1", 0, process_request=auth) as server:
        with pytest.raises(lib.InvalidStatus) as raised:
            await lib.connect(with_credentials(url(server), *PAIR))
    assert raised.value.response.status_code == 500
