"""ARCHITECTURE.md is a map of the tree as it is: what it names exists, and no package is missing from it."""

from __future__ import annotations

import re

from architecture.source_files import PACKAGE, ROOT

TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
TREE = TEXT.partition("```text\nsrc/interlock/\n")[2].partition("```")[0]
FLOORS = [line.split()[0] for line in TREE.splitlines() if line.strip()]


def test_every_path_of_the_tree_exists() -> None:
    assert [each for each in FLOORS if not (PACKAGE / each).exists()] == []


def test_every_package_and_module_at_the_top_is_on_the_map() -> None:
    top = {each.name for each in PACKAGE.iterdir() if each.suffix == ".py" or (each / "__init__.py").exists()}
    assert {each.partition("/")[0] for each in FLOORS} == top - {"__init__.py"}


def test_every_path_the_text_names_exists() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    paths = re.findall(r"`([a-z_/]+(?:/|\.py))`", TEXT) + re.findall(r"`((?:tests|docs|src)/[\w/.-]+)`", TEXT)
    assert [each for each in links if not (ROOT / each).exists()] == []
    assert [each for each in paths if not (PACKAGE / each).exists() and not (ROOT / each).exists()] == []


def test_every_name_of_a_module_that_the_text_speaks_of_exists() -> None:
    named = re.findall(r"`(core\.[a-z_.]+|services\.[a-z_]+|store\.[a-z_]+)", TEXT)
    missing = [each for each in named if not _module(each.split("."))]
    assert missing == []


def _module(parts: list[str]) -> bool:
    """Whether `core.admission.decide` begins with the path of a module."""
    return any(
        (PACKAGE.joinpath(*parts[:end])).with_suffix(".py").exists() for end in range(2, len(parts) + 1)
    )
