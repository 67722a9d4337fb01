"""Manifest files to the documents they declare, with the place of every field.

`load` is the short way; `Manifest` keeps the places, so that what is found wrong later (a rule that names
an unknown tool) can still be shown on its line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from interlock.core.bundle import BundleInvalid, Problem, compile_bundle
from interlock.core.document.kind import AnyDocument, key
from interlock.errors import ManifestError
from interlock.manifest import kinds, source
from interlock.manifest.check import plain, problems_of
from interlock.manifest.freeze import declared_path, freeze
from interlock.manifest.problem import ManifestProblem, Place, dotted, invalid, near, shown
from interlock.manifest.source import Source
from interlock.manifest.tree import Node, parse

Key = tuple[str, str, str]
_ENVELOPE = ("apiVersion", "kind", "metadata", "spec")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Declared documents and the nodes they were read from."""

    documents: tuple[AnyDocument, ...]
    nodes: Mapping[Key, Node]

    def problem(
        self, document: Key, path: Sequence[str | int], message: str, suggestion: str | None = None
    ) -> ManifestProblem:
        """Return a problem of one document, placed in its file. `path` is in terms of the core."""
        declared = declared_path(tuple(path)) if path else ()
        node = self.nodes.get(document)
        return ManifestProblem(
            place=node.place_of(declared) if node else Place(file="(the manifest)"),
            message=message,
            field=dotted(declared),
            document=f"{document[0]} {document[1]}",
            near=suggestion,
        )

    def invalid(self, found: Iterable[Problem]) -> ManifestError:
        """Return the error for what is wrong with the documents together, each thing on its line."""
        return invalid(self.problem(each.document, each.path, each.message, each.near) for each in found)

    def environments(self) -> tuple[str, ...]:
        """Return the environments that documents name."""
        return tuple(sorted({each.environment for each in self.documents if each.environment}))

    def check(self, *environments: str) -> None:
        """Compile for each of `environments`. Raises `ManifestError` with every problem found."""
        found: dict[Problem, None] = {}
        for environment in environments:
            try:
                compile_bundle(self.documents, environment=environment)
            except BundleInvalid as error:
                found.update(dict.fromkeys(error.problems))
        if found:
            raise self.invalid(found)


def load(path: Path | str) -> tuple[AnyDocument, ...]:
    """Return the documents declared in a file or folder.

    Raises `ManifestError` with every problem, each with file, line, column and field.
    """
    return read_manifest(source.read(Path(path))).documents


def read_manifest(sources: Iterable[Source]) -> Manifest:
    """Return the manifest in `sources`. Raises `ManifestError` with every problem found."""
    problems: list[ManifestProblem] = []
    documents: list[AnyDocument] = []
    nodes: dict[Key, Node] = {}
    for node in (node for each in sources for node in parse(each.name, each.text)):
        found = _document(node)
        if isinstance(found, list):
            problems.extend(found)
            continue
        if (first := nodes.get(key(found))) is not None:
            problems.append(_twice(found, node, first))
            continue
        nodes[key(found)] = node
        documents.append(found)
    if problems:
        raise invalid(problems)
    return Manifest(documents=tuple(documents), nodes=nodes)


def _document(node: Node) -> AnyDocument | list[ManifestProblem]:
    kind = node.child("kind")
    wrong = _not_a_document(node, kind)
    if wrong or kind is None:
        return wrong
    name = str(kind.value)
    document = _label(node, name)
    problems = [
        *_envelope(node, name),
        *problems_of(kinds.Metadata, node, part="metadata", document=document),
    ]
    problems += _name_problem(node, name)
    problems += problems_of(kinds.SPECS[name], node, part="spec", document=document)
    if problems:
        return problems
    metadata = kinds.Metadata.model_validate(plain(node, "metadata"))
    spec = kinds.SPECS[name].model_validate(plain(node, "spec"))
    return freeze(metadata.name, metadata.environment, name, spec)


def _not_a_document(node: Node, kind: Node | None) -> list[ManifestProblem]:
    if not isinstance(node.value, Mapping):
        expected = "expected a document: a mapping with apiVersion, kind, metadata and spec"
        return [ManifestProblem(place=node.place, message=expected)]
    if kind is None:
        return [ManifestProblem(place=node.place, field="kind", message="required and missing")]
    if kind.value in kinds.LATER:
        message = f"{kind.value} is not supported yet; leave it out of the manifest for now"
        return [ManifestProblem(place=kind.place, field="kind", message=message)]
    if kind.value not in kinds.SPECS:
        message = f"{shown(kind.value)} is no kind; expected one of {', '.join(kinds.SPECS)}"
        suggestion = near(str(kind.value), kinds.SPECS)
        return [ManifestProblem(place=kind.place, field="kind", message=message, near=suggestion)]
    return []


def _envelope(node: Node, kind: str) -> list[ManifestProblem]:
    problems: list[ManifestProblem] = []
    version = node.child("apiVersion")
    if version is None or version.value != kinds.API_VERSION:
        place = version.place if version else node.place
        problems.append(_problem(node, kind, place, "apiVersion", f"expected {kinds.API_VERSION}"))
    for name, place in (node.keys or {}).items():
        if name not in _ENVELOPE:
            message = f"unknown field; expected {', '.join(_ENVELOPE)}"
            problems.append(_problem(node, kind, place, name, message, near(name, _ENVELOPE)))
    return problems


def _name_problem(node: Node, kind: str) -> list[ManifestProblem]:
    metadata = node.child("metadata")
    name = metadata.child("name") if metadata else None
    pattern, expected = kinds.NAMES.get(kind, kinds.ANY_NAME)
    if name is None or not isinstance(name.value, str) or not name.value or pattern.fullmatch(name.value):
        return []
    message = f"expected {expected}, not {shown(name.value)}"
    return [_problem(node, kind, name.place, "metadata.name", message)]


def _twice(document: AnyDocument, node: Node, first: Node) -> ManifestProblem:
    kind = type(document).__name__
    where = f" in the environment {document.environment}" if document.environment else ""
    message = f"{kind} {document.name} is declared twice{where}; first at {first.place}"
    return _problem(node, kind, node.place_of(("metadata", "name")), "metadata.name", message)


def _problem(
    node: Node, kind: str, place: Place, field: str, message: str, suggestion: str | None = None
) -> ManifestProblem:
    document = _label(node, kind)
    return ManifestProblem(place=place, field=field, message=message, document=document, near=suggestion)


def _label(node: Node, kind: str) -> str:
    metadata = node.child("metadata")
    name = metadata.child("name") if metadata else None
    return f"{kind} {name.value}" if name and isinstance(name.value, str) else kind
