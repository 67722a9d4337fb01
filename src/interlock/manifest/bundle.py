"""A manifest on disk to the bundle that decisions are made on, for commands that need no server."""

from __future__ import annotations

from pathlib import Path

from interlock.core.bundle import Bundle, BundleInvalid, compile_bundle
from interlock.manifest import source
from interlock.manifest.load import read_manifest


def bundle_of(path: Path, environment: str) -> Bundle:
    """Return the compiled manifest at `path`. Raises `ManifestError` with the place of every problem."""
    manifest = read_manifest(source.read(path))
    try:
        return compile_bundle(manifest.documents, environment=environment)
    except BundleInvalid as found:
        raise manifest.invalid(found.problems) from None
