"""The repository itself: what must be in it, what must not, and what must be described."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from duologue.base.limits import Limits

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "duologue"
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
HEADINGS = ["Context", "Options", "Choice", "Consequences", "What would change our mind"]

# Written apart, so that this file does not hold what it looks for.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
PRIVATE_PATH = re.compile(r"(?<![\w.:/-])/(home|root|work|Users)/\w|\.\./sha" r"red")
FORBIDDEN_FOLDERS = {"node_modules", "__pycache__", ".cache", ".venv", "build", "dist"}
FORBIDDEN_SUFFIXES = {".so", ".pyd", ".o", ".pyc", ".pem", ".key", ".crt"}


def tracked() -> list[Path]:
    """Return the files of the repository, committed or about to be."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    paths = [ROOT / line for line in done.stdout.splitlines()]
    return [path for path in paths if path.is_file()]


def lines_matching(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for path in tracked():
        if path.name == "package-lock.json":
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    return found


def test_nothing_is_left_unfinished() -> None:
    assert lines_matching(UNFINISHED) == []


def test_no_path_of_a_machine() -> None:
    allowed = (".ci/run", "tools/find_python.sh")  # a default for a missing HOME
    found = [line for line in lines_matching(PRIVATE_PATH) if not line.startswith(allowed)]
    assert found == []


def test_nothing_made_is_tracked() -> None:
    assert [
        str(path.relative_to(ROOT))
        for path in tracked()
        if path.suffix in FORBIDDEN_SUFFIXES
        or FORBIDDEN_FOLDERS & set(path.relative_to(ROOT).parts)
        or (path.suffix == ".c" and path.is_relative_to(SOURCE))
    ] == []


def test_every_compiled_module_has_a_stub_and_a_declaration() -> None:
    modules = sorted(SOURCE.rglob("*.pyx"))
    assert modules
    assert [str(path) for path in modules if not path.with_suffix(".pyi").exists()] == []
    assert (SOURCE / "py.typed").exists()


def test_every_package_folder_is_a_package() -> None:
    folders = {path.parent for path in SOURCE.rglob("*.py*") if path.suffix in (".py", ".pyx")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_every_module_says_what_it_is() -> None:
    silent = []
    for path in [*SOURCE.rglob("*.py"), *SOURCE.rglob("*.pyx")]:
        opening = path.read_text(encoding="utf-8").lstrip()
        opening = re.sub(r"\A(#[^\n]*\n\s*)+", "", opening)
        if not opening.startswith(('"""', 'r"""')):
            silent.append(str(path.relative_to(ROOT)))
    assert silent == []


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Limits)])
def test_every_limit_is_described(name: str) -> None:
    """Each has its entry in the docstring and in the documentation, with its default."""
    assert Limits.__doc__ is not None
    assert re.search(rf"^ +{name}: \w", Limits.__doc__, re.MULTILINE)
    text = (ROOT / "docs" / "topics" / "limits.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| `{name}` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", text, re.MULTILINE)
    assert row, f"docs/topics/limits.md has no row for {name}"
    number = row.group(1).strip().replace(",", "")
    assert (None if number == "none" else float(number)) == getattr(Limits(), name)


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_decisions_are_complete(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.match(r"\d{4}-[a-z0-9-]+\.md$", path.name)
    assert text.startswith(f"# {path.name[:4]}: ")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    sections = re.split(r"^## .+$", text, flags=re.MULTILINE)[1:]
    assert all(len(section.strip()) > 40 for section in sections), "a section says nothing"


def test_decisions_are_numbered() -> None:
    assert DECISIONS
    numbers = [int(path.name[:4]) for path in DECISIONS]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_core_depends_on_two_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [re.split(r"[<>=!~ ]", line)[0] for line in project["dependencies"]]
    assert names == ["httptools", "zlib-ng"]


def test_locked_packages_come_from_no_named_host() -> None:
    for path in tracked():
        if path.name == "package-lock.json":
            packages = json.loads(path.read_text(encoding="utf-8"))["packages"]
            assert [name for name, entry in packages.items() if "resolved" in entry] == []


def test_make_names_its_targets() -> None:
    """`make help` and the .PHONY line name the same targets, and each has a rule."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.+)$", text, re.MULTILINE)
    assert phony
    targets = set(phony.group(1).split()) - {"help"}
    assert set(re.findall(r"^\t@echo '(\S+)  ", text, re.MULTILINE)) == targets
    for target in targets:
        assert re.search(rf"^{target}:", text, re.MULTILINE)
