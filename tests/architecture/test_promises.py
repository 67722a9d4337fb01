"""Each invariant that the code claims to keep is named by a test that would break with it."""

from __future__ import annotations

import ast
import functools
import re

import pytest

from architecture.source_files import TESTS

INVARIANTS = {
    1: "no side effect without a durable decision and intent",
    2: "deny by default",
    3: "authority only narrows",
    6: "a decision on an approval is single-use and bound",
    9: "the audit log is append-only and chained",
}


@functools.cache
def _named_in_tests() -> dict[int, list[str]]:
    named: dict[int, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        if "architecture" in path.parts or "node_modules" in path.parts:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        tests = [
            each
            for each in ast.walk(tree)
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and each.name.startswith("test_")
        ]
        texts = [ast.get_docstring(each) or "" for each in [tree, *tests]]
        for number in {int(found) for text in texts for found in re.findall(r"nvariants? (\d+)", text)}:
            named.setdefault(number, []).append(path.name)
        for group in re.findall(r"nvariants ((?:\d+(?:, | and )?)+)", "\n".join(texts)):
            for number in re.findall(r"\d+", group):
                named.setdefault(int(number), []).append(path.name)
    return named


@pytest.mark.parametrize("invariant", INVARIANTS)
def test_an_invariant_is_named_by_a_test(invariant: int) -> None:
    assert _named_in_tests().get(invariant), f"no test's docstring names invariant {invariant}"
