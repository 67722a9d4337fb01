"""The house stays tidy: one direction, small files, small functions, a test file for every rule."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from architecture.source_files import PACKAGE, ROOT, TESTS, functions, length, modules, name, tree

FILE_CEILING = 500
FUNCTION_CEILING = 60
# Larger on purpose, each with its reason.
LARGER_FILES: dict[str, str] = {}
LARGER_FUNCTIONS: dict[str, str] = {}

FORBIDDEN_NAMES = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py", "manager.py", "base.py"}


def test_every_import_contract_holds() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--config", "pyproject.toml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_file_passes_the_ceiling() -> None:
    large = {name(each): len(each.read_text().splitlines()) for each in modules()}
    assert {
        each: lines for each, lines in large.items() if lines > FILE_CEILING
    }.keys() == LARGER_FILES.keys()


def test_no_function_passes_the_ceiling() -> None:
    large = {
        f"{name(path)}:{each.name}"
        for path in modules()
        for each in functions(path)
        if length(each) > FUNCTION_CEILING
    }
    assert large == LARGER_FUNCTIONS.keys()


def test_no_file_is_named_after_nothing() -> None:
    assert not [name(each) for each in modules() if each.name in FORBIDDEN_NAMES]


def test_every_module_says_what_lives_in_it() -> None:
    assert not [name(each) for each in modules() if not ast.get_docstring(tree(each))]


def test_every_core_file_has_a_test_file_of_its_own() -> None:
    core = PACKAGE / "core"
    missing = [
        expected.relative_to(TESTS).as_posix()
        for each in sorted(core.rglob("*.py"))
        if each.name != "__init__.py" and _has_behaviour(each)
        for expected in [TESTS / "unit" / each.relative_to(core).with_name(f"test_{each.name}")]
        if not expected.exists()
    ]
    assert not missing


def test_importing_the_package_does_nothing() -> None:
    code = (
        "import sys, interlock, interlock.errors; "
        "print(sorted(m for m in sys.modules if m.split('.')[0] in "
        "{'mcp', 'sqlalchemy', 'starlette', 'pydantic', 'asyncio', 'httpx2'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _has_behaviour(path: Path) -> bool:
    """Whether a file holds more than values: a function or method with a body that computes."""
    return any(True for _each in functions(path))
