"""One entry of the audit log for people: a line that says who did what and how it went, or all of it.

The line leaves out what only a program compares (digests, keys, times); `audit show` and `--json` do not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, cast

from interlock.cli.output import line, safe

Entry = Mapping[str, Any]
_ABOUT = ("run", "agent", "workflow", "tool", "action", "person")
_LONG = 60
_SAID = 160
_TIMES = "_at"


def row(entry: Entry) -> dict[str, str]:
    """Return an entry as a row of a list: when, what kind, what about by whom, and what was said of it."""
    return {
        "at": moment(entry["at"])[:19],
        "kind": entry["kind"],
        "what": ": ".join(part for part in (_subject(entry), said(body_of(entry))) if part),
        "run": entry["run"],
        "action": entry["action"],
    }


def whole(entries: Iterable[Entry]) -> str:
    """Return entries with every field, each as a block."""
    return "\n\n".join("\n".join(_block(each)) for each in entries)


def said(body: Mapping[str, Any]) -> str:
    """Return what an entry's body says, in short."""
    told: list[str] = []
    if "verdict" in body:
        told.append(" ".join(filter(None, (str(body["verdict"]), _reasons(body)))))
    told += [_pair(name, value) for name, value in body.items() if _worth_a_word(name, value)]
    text = ", ".join(told)
    return f"{text[:_SAID]}…" if len(text) > _SAID else text


def moment(at: int) -> str:
    """Return a time in UTC to the millisecond."""
    return datetime.fromtimestamp(at / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"


def body_of(entry: Entry) -> dict[str, Any]:
    """Return the body of an entry, which an export holds as text."""
    body = entry["body"]
    return json.loads(body) if isinstance(body, str) else body


def _subject(entry: Entry) -> str:
    about = entry["tool"] or entry["workflow"]
    who = entry["person"] or entry["agent"]
    return " by ".join(part for part in (about, who) if part)


def _reasons(body: Mapping[str, Any]) -> str:
    found = [each for each in body.get("reasons", ()) if each["verdict"] == body["verdict"]]
    words = [f"{each['gate']}: {each['rule'] or each['code']}" for each in found]
    return f"({', '.join(words)})" if words else ""


def _worth_a_word(name: str, value: object) -> bool:
    if name in {"verdict", "reasons", "digest", "bundle", "pin", "tier", "effect"} or name.endswith(_TIMES):
        return False
    if isinstance(value, list):
        return bool(cast("list[object]", value))
    return value not in (None, "", False) and not isinstance(value, dict) and len(str(value)) <= _LONG


def _pair(name: str, value: object) -> str:
    if isinstance(value, list):
        many = cast("list[object]", value)
        first = str(many[0])
        return first if len(many) == 1 else f"{len(many)} {name.replace('_', ' ')}"
    return name.replace("_", " ") if value is True else f"{name.replace('_', ' ')} {value}"


def _block(entry: Entry) -> list[str]:
    shown = [f"{moment(entry['at'])}  [bold]{line(entry['kind'])}[/bold]"]
    shown += [f"  {name:<9}{line(entry[name])}" for name in _ABOUT if entry[name]]
    body = json.dumps(body_of(entry), ensure_ascii=False, indent=2)
    shown += ["  " + safe(each) for each in body.splitlines()]
    shown.append(f"  entry    {line(entry['chain'])}/{entry['seq']}")
    return shown
