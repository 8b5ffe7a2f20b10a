"""Which entries a path leads to, and in which order."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest

from duologue.app.routing import MAX_SEGMENTS, Pattern, Router, split_path


def router(*patterns: str) -> Router[str]:
    made: Router[str] = Router()
    for pattern in patterns:
        made.add(Pattern(pattern), pattern)
    return made


def found(path: str, *patterns: str) -> list[str]:
    return [entry for entry, _ in router(*patterns).find(path)]


def params(path: str, pattern: str) -> Any:
    return next(iter([params for _, params in router(pattern).find(path)]), None)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("/", "/", {}),
        ("/", "", None),
        ("/a/b", "/a/b", {}),
        ("/a/b", "/a/b/", None),
        ("/a/b", "/a", None),
        ("/a/b", "/A/b", None),
        ("/a/", "/a/", {}),
        ("/room/{name}", "/room/x", {"name": "x"}),
        ("/room/{name}", "/room/", None),
        ("/room/{name}", "/room/x/y", None),
        ("/room/{name}", "/room/a%20b", {"name": "a b"}),
        ("/room/{name}", "/room/a%2Fb", {"name": "a/b"}),
        ("/room/{name}", "/room/%C3%BC", {"name": "ü"}),
        ("/room/{name}", "/room/%FF", None),
        ("/r%C3%A4ume", "/r%c3%a4ume", {}),
        ("/räume", "/r%C3%A4ume", {}),
        ("/{a}/{b}", "/x/y", {"a": "x", "b": "y"}),
        ("/i/{n:int}", "/i/042", {"n": 42}),
        ("/i/{n:int}", "/i/-1", None),
        ("/i/{n:int}", "/i/x", None),
        ("/i/{n:int}", "/i/" + "1" * 301, None),
        ("/i/{n:int}", "/i/٣", None),
        ("/f/{x:float}", "/f/1.5", {"x": 1.5}),
        ("/f/{x:float}", "/f/3", {"x": 3.0}),
        ("/f/{x:float}", "/f/nan", None),
        (
            "/u/{u:uuid}",
            "/u/12345678-1234-5678-1234-567812345678",
            {"u": uuid.UUID("12345678-1234-5678-1234-567812345678")},
        ),
        ("/u/{u:uuid}", "/u/1234", None),
        ("/s/{s:str}", "/s/x", {"s": "x"}),
        ("/files/{p:path}", "/files/a/b.txt", {"p": "a/b.txt"}),
        ("/files/{p:path}", "/files/", {"p": ""}),
        ("/files/{p:path}", "/files", None),
        ("/any/*", "/any/thing/at/all", {}),
        ("/any/*", "/any/", {}),
        ("/any/*", "/any", None),
        ("/img-{id:int}.png", "/img-7.png", {"id": 7}),
        ("/img-{id:int}.png", "/img-.png", None),
        ("/img-{id:int}.png", "/img-7.jpg", None),
        ("/{name}.{suffix}", "/a.tar.gz", {"name": "a", "suffix": "tar.gz"}),
        ("/{name}.{suffix}", "/.gz", None),
        ("/aa{x}aa", "/aaa", None),
        ("/aa{x}aa", "/aaxaa", {"x": "x"}),
    ],
)
def test_parameters(pattern: str, path: str, expected: dict[str, Any] | None) -> None:
    assert params(path, pattern) == expected


def test_static_before_parameter_before_rest_whatever_the_order() -> None:
    patterns = ["/*", "/a/{x}", "/{x}/b", "/a/*", "/a/b", "/{x}/{y}"]
    wanted = ["/a/b", "/a/{x}", "/a/*", "/{x}/b", "/{x}/{y}", "/*"]
    assert found("/a/b", *patterns) == wanted
    assert found("/a/b", *reversed(patterns)) == wanted


def test_special_parameters_before_general_ones() -> None:
    patterns = ["/{s}", "/{f:float}", "/{n:int}", "/{s}.json", "/v{s}.json"]
    assert found("/7", *patterns) == ["/{n:int}", "/{f:float}", "/{s}"]
    assert found("/v7.json", *patterns) == ["/v{s}.json", "/{s}.json", "/{s}"]


def test_a_branch_that_ends_is_left() -> None:
    assert found("/a/x", "/a/b", "/{any}/x") == ["/{any}/x"]
    assert found("/a/b/c", "/a/b/d", "/a/{x}/e", "/a/*") == ["/a/*"]


def test_parameters_of_other_branches_are_not_left_behind() -> None:
    pairs = dict(router("/{a}/{b:int}", "/{c}/{d}").find("/x/7"))
    assert pairs == {"/{a}/{b:int}": {"a": "x", "b": 7}, "/{c}/{d}": {"c": "x", "d": "7"}}


def test_several_entries_of_one_pattern_stay_in_order() -> None:
    made: Router[int] = Router()
    for number in (1, 2, 3):
        made.add(Pattern("/x/{y}"), number)
    assert [entry for entry, _ in made.find("/x/y")] == [1, 2, 3]


@pytest.mark.parametrize(
    "pattern",
    [
        "", "x", "/a?b", "/a#b", "/{}", "/{a", "/a}", "/{1a}", "/{a:nothing}", "/{a}/{a}",
        "/{a}{b}", "/{p:path}/x", "/*/x", "/{p:path}.txt", "/" + "/".join("x" * 101),
    ],
)  # fmt: skip
def test_what_cannot_be_a_pattern(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"path|parameter|converter|text|takes"):
        Pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "instead"),
    [("/user/:id", "{id}"), ("/<name>/x", "{name}"), ("/x/<int:page>", "{page}")],
)
def test_parameters_of_other_frameworks(pattern: str, instead: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"a parameter is {instead}, not ")):
        Pattern(pattern)


def test_colons_that_are_none() -> None:
    for path in ("/items:batch", "/a:b/c", "/1:30"):
        assert found(path, path) == [path]


def test_an_unknown_converter_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"'hex'.*int, uuid, float, str, path"):
        Pattern("/{a:hex}")


def test_too_many_segments_lead_nowhere() -> None:
    longest = "/" + "/".join("x" * MAX_SEGMENTS)
    assert found(longest, "/*") == ["/*"]
    assert found(longest + "/x", "/*") == []


def test_splitting() -> None:
    assert split_path("/a%2Fb//c%20") == ["a/b", "", "c "]
    assert split_path("*") is None
    assert split_path("/%ff") is None


def test_matching_takes_one_pass() -> None:
    """A segment that nearly fits in very many ways."""
    pattern = Pattern("/{a}-{b}-{c}-{d}.png")
    made: Router[int] = Router()
    made.add(pattern, 1)
    assert list(made.find("/" + "-" * 8000)) == []
