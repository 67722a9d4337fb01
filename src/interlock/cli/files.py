"""Manifest files as a command sends them to the API, which parses them; this installation need not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from interlock.errors import ManifestError, UsageError

ManifestPath = Annotated[Path, typer.Argument(help="A YAML file, or a folder of them.")]
_LARGEST = 1024 * 1024


def files(path: Path) -> list[dict[str, str]]:
    """Return name and text of each manifest file under `path`.

    Raises `ManifestError` when there is none, or one cannot be read as UTF-8 text.
    """
    found = [path] if path.is_file() else sorted(each for each in path.rglob("*.y*ml") if _counts(each, path))
    if not found:
        raise ManifestError(
            f"{path}: no manifest here.", hint="Give a YAML file or a folder with .yaml files: interlock init"
        )
    return [{"name": str(each), "text": _text(each)} for each in found]


def json_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file. Raises `UsageError`."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} holds no JSON object.", hint='Such as {"order": 2}') from error
    if not isinstance(found, dict):
        raise UsageError(f"{path} holds no JSON object.", hint='Such as {"order": 2}')
    return cast("dict[str, Any]", found)


def _counts(file: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(root).parts)
    return file.suffix in {".yaml", ".yml"} and file.is_file() and not hidden


def _text(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            raw = stream.read(_LARGEST + 1)
    except OSError as error:
        raise ManifestError(f"{file}: cannot be read: {error.strerror}.") from error
    if len(raw) > _LARGEST:
        raise ManifestError(f"{file}: larger than 1024 KiB.", hint="Split it into several files.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ManifestError(f"{file}:{line}: not UTF-8.", hint="Save the file as UTF-8.") from None
