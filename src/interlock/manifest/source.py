"""Manifest files: which ones a path names, and their text, within limits.

A folder is read with its subfolders in the order of names; hidden files and folders are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from interlock.manifest.problem import ManifestProblem, Place, invalid

MAX_FILE = 1024 * 1024
MAX_TOTAL = 3 * 1024 * 1024
MAX_FILES = 1000
_SUFFIXES = {".yaml", ".yml"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One manifest file: its name as shown to people, and its text."""

    name: str
    text: str


def read(path: Path) -> list[Source]:
    """Return the manifest files under `path`.

    Raises `ManifestError` when there is none, or one is too large, unreadable or not UTF-8.
    """
    files = _files(path)
    if not files:
        raise _refused(str(path), "no manifest here: expected a YAML file or a folder with .yaml files")
    if len(files) > MAX_FILES:
        raise _refused(str(path), f"more than {MAX_FILES} files")
    return decode([(str(file), _bytes(file)) for file in files])


def decode(files: Iterable[tuple[str, bytes]]) -> list[Source]:
    """Return named bytes as sources. Raises `ManifestError` on a limit or on what is not UTF-8."""
    sources: list[Source] = []
    total = 0
    for name, raw in files:
        total += len(raw)
        if len(raw) > MAX_FILE:
            raise _refused(name, f"larger than {MAX_FILE // 1024} KiB; split it into several files")
        if total > MAX_TOTAL:
            raise _refused(name, f"the manifest is larger than {MAX_TOTAL // 1024} KiB in all")
        sources.append(Source(name=name, text=_text(name, raw)))
    return sources


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = (each for each in path.rglob("*") if each.suffix in _SUFFIXES and each.is_file())
    return sorted(each for each in found if not _hidden(each.relative_to(path)))


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _bytes(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_FILE + 1)
    except OSError as error:
        raise _refused(str(file), f"cannot be read: {error.strerror}") from error


def _text(name: str, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        problem = ManifestProblem(
            place=Place(file=name, line=line, column=column),
            message=f"not UTF-8: the byte 0x{raw[error.start]:02x}; save the file as UTF-8",
        )
        raise invalid([problem]) from None


def _refused(name: str, message: str) -> Exception:
    return invalid([ManifestProblem(place=Place(file=name), message=message)])
