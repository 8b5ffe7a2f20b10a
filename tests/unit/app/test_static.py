"""Files of a directory: which paths lead to one, and what is answered."""

from __future__ import annotations

import email.utils
import os
from pathlib import Path

import pytest

from duologue.app.files import FileAnswer, content_type_of, open_file
from duologue.app.static import StaticFiles
from duologue.wire.headers import Headers


@pytest.fixture
def site(tmp_path: Path) -> Path:
    root = tmp_path / "site"
    (root / "sub").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / ".hidden").mkdir()
    for name in ("index.html", "a.txt", "sub/index.html", "sub/b.css", ".env", ".hidden/c.txt"):
        (root / name).write_text(name)
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "site2").mkdir()
    (tmp_path / "site2" / "near.txt").write_text("near")
    (root / "out.txt").symlink_to(tmp_path / "secret.txt")
    (root / "away").symlink_to(tmp_path / "site2")
    (root / "in.txt").symlink_to(root / "a.txt")
    (root / "dot.txt").symlink_to(root / ".env")
    (root / "loop").symlink_to(root / "loop")
    return root


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a.txt", "a.txt"),
        ("", "index.html"),
        ("sub/", "sub/index.html"),
        ("sub/b.css", "sub/b.css"),
        ("in.txt", "a.txt"),
    ],
)
def test_what_is_there(site: Path, path: str, name: str) -> None:
    found = StaticFiles(site).find(path.split("/"))
    assert found is not None
    assert (Path(found.path).relative_to(site.resolve()).as_posix(), found.slash) == (name, False)


def test_a_directory_without_slash(site: Path) -> None:
    found = StaticFiles(site).find(["sub"])
    assert found is not None
    assert found.slash


@pytest.mark.parametrize(
    "segments",
    [
        ["nothing"], ["a.txt", ""], ["a.txt", "x"], ["empty", ""], ["empty"],
        [".."], ["..", "secret.txt"], ["sub", "..", "..", "secret.txt"], ["../secret.txt"],
        ["sub/../../secret.txt"], [".", "a.txt"], ["", "a.txt"], ["sub", "", "b.css"],
        ["/etc/passwd"], ["..\\secret.txt"], ["a.txt\0"], ["a.txt\0.html"],
        [".env"], [".hidden", "c.txt"], [".hidden", ""], ["dot.txt"],
        ["out.txt"], ["away", "near.txt"], ["loop"], ["x" * 300], ["\udcff"],
    ],
)  # fmt: skip
def test_what_is_not_there(site: Path, segments: list[str]) -> None:
    assert StaticFiles(site).find(segments) is None


def test_only_directories_are_served(site: Path) -> None:
    with pytest.raises(NotADirectoryError):
        StaticFiles(site / "a.txt")
    with pytest.raises(NotADirectoryError):
        StaticFiles(site / "nothing")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.html", "text/html; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.mjs", "text/javascript; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.json", "application/json; charset=utf-8"),
        ("a.svg", "image/svg+xml; charset=utf-8"),
        ("a.png", "image/png"),
        ("a.wasm", "application/wasm"),
        ("a.woff2", "font/woff2"),
        ("a.tar.gz", "application/gzip"),
        ("a.unknown", "application/octet-stream"),
        ("a", "application/octet-stream"),
        ("data:x.html", "text/html; charset=utf-8"),
    ],
)
def test_content_types(name: str, kind: str) -> None:
    assert content_type_of(name) == kind


# Answers


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    path = tmp_path / "digits.txt"
    path.write_bytes(b"0123456789")
    os.utime(path, (1_700_000_000.5, 1_700_000_000.5))
    return path


MODIFIED = "Tue, 14 Nov 2023 22:13:20 GMT"


def ask(path: Path, request: dict[str, str] | None = None, **options: object) -> FileAnswer:
    headers = Headers(request or {})
    return open_file(str(path), headers, Headers(), **options)  # type: ignore[arg-type]


def read(answer: FileAnswer) -> bytes:
    try:
        return b"".join(answer.parts()) if answer.descriptor >= 0 else b""
    finally:
        answer.close()


def test_a_whole_file(digits: Path) -> None:
    answer = ask(digits)
    assert answer.status == 200
    assert read(answer) == b"0123456789"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Content-Length"] == "10"
    assert answer.headers["Last-Modified"] == MODIFIED
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["ETag"].startswith('"')


def test_head_keeps_nothing_open(digits: Path) -> None:
    answer = ask(digits, {"Range": "bytes=0-1"}, body=False)
    assert (answer.status, answer.headers["Content-Length"], answer.descriptor) == (200, "10", -1)


def test_a_type_that_was_given_stays(digits: Path) -> None:
    answer = open_file(str(digits), Headers(), Headers({"Content-Type": "a/b"}))
    answer.close()
    assert answer.headers["Content-Type"] == "a/b"


def test_the_tag_changes_with_the_file(digits: Path) -> None:
    before = ask(digits, body=False).headers["ETag"]
    digits.write_bytes(b"9876543210")
    assert ask(digits, body=False).headers["ETag"] != before


@pytest.mark.parametrize(
    ("conditions", "status"),
    [
        ({"If-None-Match": "TAG"}, 304),
        ({"If-None-Match": '"x", W/TAG'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"x"'}, 200),
        ({"If-None-Match": '"x"', "If-Modified-Since": MODIFIED}, 200),
        ({"If-Modified-Since": MODIFIED}, 304),
        ({"If-Modified-Since": "Tue, 14 Nov 2023 22:13:19 GMT"}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"If-Modified-Since": "Tue, 14 Nov 99999 22:13:19 GMT"}, 200),
    ],
)
def test_conditions(digits: Path, conditions: dict[str, str], status: int) -> None:
    tag = ask(digits, body=False).headers["ETag"]
    answer = ask(digits, {name: value.replace("TAG", tag) for name, value in conditions.items()})
    assert answer.status == status
    assert read(answer) == (b"" if status == 304 else b"0123456789")
    assert answer.headers["ETag"] == tag
    assert ("Content-Type" in answer.headers) == (status == 200)


@pytest.mark.parametrize(
    ("value", "status", "body", "named"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=-20", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=9-99", 206, b"9", "bytes 9-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=-0", 416, b"", "bytes */10"),
        ("bytes=5-2", 200, b"0123456789", None),
        ("bytes=0-1,3-4", 200, b"0123456789", None),
        ("bytes=-", 200, b"0123456789", None),
        ("lines=0-1", 200, b"0123456789", None),
        ("bytes=" + "9" * 19 + "-", 200, b"0123456789", None),
    ],
)
def test_ranges(digits: Path, value: str, status: int, body: bytes, named: str | None) -> None:
    answer = ask(digits, {"Range": value})
    assert (answer.status, read(answer)) == (status, body)
    assert answer.headers.get("Content-Range") == named
    assert answer.headers["Content-Length"] == str(len(body))


@pytest.mark.parametrize(
    ("condition", "status"), [("TAG", 206), (MODIFIED, 206), ('"x"', 200), ("W/TAG", 200)]
)
def test_a_range_of_another_version(digits: Path, condition: str, status: int) -> None:
    tag = ask(digits, body=False).headers["ETag"]
    answer = ask(digits, {"Range": "bytes=0-0", "If-Range": condition.replace("TAG", tag)})
    answer.close()
    assert answer.status == status


def test_other_things_than_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in ("fifo", "nothing"):
        with pytest.raises(FileNotFoundError):
            ask(tmp_path / name)
    with pytest.raises(OSError, match=r"regular|directory"):
        ask(tmp_path)


def test_a_file_that_shrinks(digits: Path) -> None:
    answer = ask(digits)
    digits.write_bytes(b"0")
    with pytest.raises(OSError, match="shorter"):
        read(answer)


def test_dates_are_understood() -> None:
    assert email.utils.parsedate_to_datetime(MODIFIED).timestamp() == 1_700_000_000
