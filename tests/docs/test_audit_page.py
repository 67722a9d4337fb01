"""Every kind of audit entry that the code can write is described on the audit page, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "audit.md"
WRITERS = {"audit", "record", "_record", "draft", "JournalEntry", "_entry", "_code", "ask"}
KIND = re.compile(r"[a-z_]+\.[a-z_]+")
# Kinds that are put together while the program runs, by the text around the hole.
COMPOSED = {
    "action.{}": {
        f"action.{state}"
        for state in (
            "awaiting_input", "compensated", "compensation_failed", "denied", "executing", "failed",
            "in_doubt", "parked", "retry", "scheduled", "succeeded", "voided", "waiting_approval",
        )
    },
    "{}.{}": {
        f"{what}.{how}" for what in ("completion", "prompt", "resource") for how in ("used", "refused")
    },
}  # fmt: skip


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _texts(node: ast.expr) -> Iterator[str]:
    """Yield what a kind's expression can be, with "{}" for what is filled in."""
    for part in ast.walk(node):
        if isinstance(part, ast.JoinedStr):
            yield "".join(str(each.value) if isinstance(each, ast.Constant) else "{}" for each in part.values)
        elif isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def _written(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        said: list[ast.expr] = []
        if isinstance(node, ast.Call) and _called(node) in WRITERS:
            said = [*node.args, *(each.value for each in node.keywords if each.arg in {"kind", None})]
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "kind":
            said = [node.value]
        for text in (each for expression in said for each in _texts(expression)):
            found |= COMPOSED.get(text, {text} if KIND.fullmatch(text) else set())
    return found


def kinds() -> set[str]:
    """Return every kind of audit entry that stands in the source."""
    sources = (ROOT / "src" / "interlock").rglob("*.py")
    return {kind for path in sources for kind in _written(ast.parse(path.read_text(encoding="utf-8")))}


def test_every_kind_of_audit_entry_is_documented() -> None:
    rows = re.findall(
        r"^\| `([a-z_.]+)` \| [^|]+ \| [^|]+ \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(rows) == sorted(kinds())
