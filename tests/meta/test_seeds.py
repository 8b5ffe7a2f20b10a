"""What tutorials say, `docs/seeds.md`: no row is missing, and all that is named exists."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest

from duologue.frontends.demo import FILES

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "seeds.md"
LAST = {"S0": (1, 21), "S1": (1, 13), "S2": (1, 19), "S3": (0, 10), "S4": (1, 21)}
ROWS = [
    f"{text}-{number:02}"
    for text, (first, last) in LAST.items()
    for number in range(first, last + 1)
]
#: Rows that say nothing of the browser's API: of servers, of installing, of other front-ends.
NOT_OF_THE_CLIENT = {
    *("S0-03", "S1-05", "S1-06", "S1-12", "S1-13", "S3-00", "S3-01"),
    *(f"S4-{number}" for number in range(14, 22)),
}
CLIENT_TESTS = "tests/unit/client/browser/"
NOT_YET = "**not yet**: "
AND_NOT_YET = f"; {NOT_YET}"
NOTHING = "**nothing to show**: "


def table() -> list[tuple[str, str, str]]:
    """Return id, statement and last cell of every row, in order."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if re.match(r"\| S\d-\d\d ", line)]
    assert all(len(row) == 3 for row in rows), "a row doesn't have three cells"
    return [(row[0], row[1], row[2]) for row in rows]


def quoted(cell: str) -> list[str]:
    """Return what stands in backticks, which must be all there is besides commas."""
    assert re.fullmatch(r"`[^`]+`(, `[^`]+`)*", cell), cell
    return re.findall(r"`([^`]+)`", cell)


def exists(reference: str) -> bool:
    """Tell whether there is such a panel, test or file."""
    if reference.startswith("/"):
        path, _, anchor = reference.partition("#")
        name = FILES.get(path, "")
        if not name.endswith(".html"):
            return False
        page = files("duologue.frontends.demo").joinpath(f"pages/{name}").read_text("utf-8")
        return not anchor or f' id="{anchor}"' in page
    name, _, function = reference.partition("::")
    path = ROOT / name
    if not function:
        return path.exists()
    pattern = rf"^ *(async )?def {re.escape(function)}\("
    return path.is_file() and bool(
        re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)
    )


def test_no_row_is_missing() -> None:
    assert [row for row, _, _ in table()] == ROWS


def test_every_row_says_something() -> None:
    assert [row for row, statement, _ in table() if len(statement) < 15] == []


@pytest.mark.parametrize(("row", "cell"), [(row, cell) for row, _, cell in table()])
def test_what_a_row_names_exists(row: str, cell: str) -> None:
    if cell.startswith(NOTHING):
        assert len(cell) > len(NOTHING) + 15
        return
    if cell.startswith(NOT_YET):
        shown, missing = "", cell.removeprefix(NOT_YET)
    else:
        shown, _, missing = cell.partition(AND_NOT_YET)
    if shown:
        assert [name for name in quoted(shown) if not exists(name)] == []
    if missing:
        # Once it is there, the row has to say where it is shown.
        assert [name for name in quoted(missing) if exists(name)] == []


@pytest.mark.parametrize(("row", "cell"), [(row, cell) for row, _, cell in table()])
def test_every_row_about_the_client_has_a_test_in_python(row: str, cell: str) -> None:
    named = any(name.startswith(CLIENT_TESTS) and "::" in name for name in cell.split("`"))
    assert named == (row not in NOT_OF_THE_CLIENT)


@pytest.mark.parametrize(
    "reference",
    ["/nowhere", "/lab#nowhere", "/lab.js", "tests/nowhere.py", "tests/meta/test_seeds.py::absent"],
)
def test_what_does_not_exist_is_noticed(reference: str) -> None:
    assert not exists(reference)


def test_every_panel_is_named() -> None:
    named = PAGE.read_text(encoding="utf-8")
    folder = files("duologue.frontends.demo").joinpath("pages")
    for path, name in FILES.items():
        if name.endswith(".html"):
            page = folder.joinpath(name).read_text(encoding="utf-8")
            panels = re.findall(r'<section class="panel" id="([^"]+)"', page)
            missing = [panel for panel in panels if f"`{path}#{panel}`" not in named]
            assert missing in ([], ["seen"]), path  # the inspector's own log
