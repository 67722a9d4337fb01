"""The declared documents: parse, validate with positions, JSON Schema."""

from interlock.manifest.load import Manifest, load, read_manifest
from interlock.manifest.problem import ManifestProblem, Place
from interlock.manifest.source import Source

__all__ = ["Manifest", "ManifestProblem", "Place", "Source", "load", "read_manifest"]
