"""Who may touch the world: one reader of the environment, one clock, one writer of commits."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from architecture.source_files import PACKAGE, ROOT, modules, name, tree

ENVIRONMENT = {"os.environ", "os.getenv", "os.environb", "os.putenv"}
CLOCKS_AND_CHANCE = {
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "time.perf_counter",
    "datetime.now",
    "datetime.utcnow",
    "datetime.datetime.now",
    "uuid.uuid4",
    "uuid.uuid1",
    "random.random",
}
# The agent programs of the demonstration are users' programs: they read the URLs that `interlock run` sets.
READS_THE_ENVIRONMENT = {"settings.py", "demo/agent.py", "demo/cleaner.py", "demo/spender.py"}
READS_CLOCKS = {"runtime.py"}
COMMITS = {"store/"}


def dotted(node: ast.AST) -> str:
    """Return `a.b.c` for an attribute chain, or "" for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""


def users_of(names: set[str]) -> dict[str, set[str]]:
    """Return which files use which of `names`."""
    found: dict[str, set[str]] = {}
    for path in modules():
        used = {dotted(node) for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)} & names
        if used:
            found[name(path)] = used
    return found


def test_only_settings_reads_the_environment() -> None:
    assert users_of(ENVIRONMENT).keys() <= READS_THE_ENVIRONMENT


def test_only_runtime_reads_clocks_and_makes_ids() -> None:
    assert users_of(CLOCKS_AND_CHANCE).keys() <= READS_CLOCKS


def test_only_the_store_commits() -> None:
    committing = {
        name(path)
        for path in modules()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and node.attr in {"commit", "rollback"}
    }
    assert not {each for each in committing if not each.startswith(tuple(COMMITS))}


def test_the_core_imports_nothing_but_the_standard_library_and_itself() -> None:
    import sys

    foreign = {
        f"{name(path)}: {module}"
        for path in sorted((PACKAGE / "core").rglob("*.py"))
        for module in _imports(path)
        if module.split(".")[0] not in sys.stdlib_module_names and not module.startswith("interlock.core")
    }
    assert not foreign


@pytest.mark.parametrize("ban", ["os.environ", "os.getenv", "asyncio.create_task"])
def test_the_linter_bans_what_has_one_home(ban: str) -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert ban in lint["flake8-tidy-imports"]["banned-api"]


def test_linter_exceptions_in_the_source_are_few_and_named() -> None:
    """A new `noqa` or `type: ignore` is a decision; it needs its reason on the line."""
    bare = [
        f"{name(path)}:{number}"
        for path in modules()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if ("# noqa" in line and "# noqa: " not in line) or ("type: ignore" in line and "ignore[" not in line)
    ]
    assert not bare


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
    return found
