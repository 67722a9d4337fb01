"""Undos that cannot work are found before anybody relies on them."""

from __future__ import annotations

from typing import Any

import pytest

from interlock.core.bundle import BundleInvalid, compile_bundle
from interlock.core.document.tool import FollowUp, Settlement
from interlock.core.misfit import Shape
from interlock.core.model import EffectClass
from interlock.core.undo_check import check_undos, require_undos
from support.policies import Companion, a_reading_tool, a_tool, documents

GIVEN = {"type": "object", "properties": {"id": {}, "to": {}}}
TAKEN = {"type": "object", "properties": {"id": {}, "deep": {}}, "required": ["id"]}
RESULT = {"type": "object", "properties": {"id": {"type": "string"}}}


def test_second_steps_are_held_against_the_schemas_too() -> None:
    step = Companion(tool="crm.last", arguments={"id": "$args.di"})
    void = Companion(tool="crm.last", arguments={"id": 1})
    settled = a_tool(settlement=Settlement(confirm=step, void=void, within=600))
    follow_up = FollowUp(tool="crm.last", arguments={}, after=600)
    undone = a_tool("crm.other", undo=void, follow_up=follow_up)
    last = a_tool("crm.last", blast_radius=None)
    bundle = compile_bundle(
        documents(None, tools=(a_reading_tool(), settled, undone, last)), environment="dev"
    )
    found = require_undos(bundle, {"crm.update": Shape(GIVEN, {}), "crm.last": Shape(TAKEN, {})})
    unmapped = "cannot work: crm.last is not mapped, so nobody knows what"
    assert list(found) == [
        f"tool crm.other: its undo {unmapped} undoing does",
        f"tool crm.other: its follow-up {unmapped} it does",
        "tool crm.other: its follow-up cannot work: crm.last requires the argument 'id'",
        f"tool crm.update: its confirm {unmapped} it does",
        "tool crm.update: its confirm cannot work: the tool has no argument 'di'",
        f"tool crm.update: its void {unmapped} undoing does",
    ]


def said(
    arguments: dict[str, Any], *, given: Any = GIVEN, taken: Any = TAKEN, **restore: Any
) -> list[tuple[tuple[str | int, ...], str]]:
    restores = a_tool("crm.restore", **{"effect": EffectClass.IDEMPOTENT} | restore)
    tool = a_tool(undo=Companion(tool="crm.restore", arguments=arguments))
    bundle = compile_bundle(documents(None, tools=(a_reading_tool(), tool, restores)), environment="dev")
    known = (("crm.update", given, RESULT), ("crm.restore", taken, {}))
    shapes = {name: Shape(arguments, result) for name, arguments, result in known if arguments}
    return [(each.path, each.message) for each in check_undos(bundle, shapes)]


def test_an_undo_that_fits_both_schemas_is_fine() -> None:
    assert said({"id": "$args.id", "deep": {"x": ["$args.to", "$result.id", "$$args.no", 5]}}) == []


@pytest.mark.parametrize(
    ("arguments", "path", "message"),
    [
        ({"id": "$args.di"}, ("spec", "undo", "arguments", "id"), "the tool has no argument 'di'"),
        ({"id": 1, "x": 1}, ("spec", "undo", "arguments", "x"), "crm.restore has no argument 'x'"),
        ({}, ("spec", "undo", "arguments"), "crm.restore requires the argument 'id'"),
        ({"id": "$result.di"}, ("spec", "undo", "arguments", "id"), "the tool's result has no 'di'"),
    ],
)
def test_what_fits_no_schema_is_named(arguments: dict[str, Any], path: tuple[str, ...], message: str) -> None:
    assert said(arguments) == [(path, message)]


@pytest.mark.parametrize(
    "schema", [None, {"type": "object"}, {"properties": {}, "additionalProperties": True}, {"properties": 5}]
)
def test_what_is_not_known_is_not_judged(schema: Any) -> None:
    assert said({"id": "$args.any", "more": 1}, given=schema, taken=schema) == []


@pytest.mark.parametrize(
    ("restore", "message"),
    [
        ({"effect": EffectClass.ONCE}, "crm.restore has the effect once: an undo is idempotent"),
        ({"effect": EffectClass.PROBEABLE}, "crm.restore has the effect probeable: an undo is idempotent"),
        ({"blast_radius": None}, "crm.restore is not mapped, so nobody knows what undoing does"),
    ],
)
def test_an_undo_is_mapped_and_idempotent(restore: dict[str, Any], message: str) -> None:
    assert said({"id": 1}, **restore) == [(("spec", "undo", "tool"), message)]


def test_in_production_an_undo_that_cannot_work_is_an_error_and_elsewhere_it_is_said() -> None:
    tool = a_tool(undo=Companion(tool="crm.restore", arguments={}))
    declared = documents(None, tools=(a_reading_tool(), tool, a_tool("crm.restore", blast_radius=None)))
    (told,) = require_undos(compile_bundle(declared, environment="staging"), {})
    assert told.startswith("tool crm.update: its undo cannot work: crm.restore is not mapped")
    production = compile_bundle(declared, environment="production")
    with pytest.raises(BundleInvalid):
        require_undos(production, {})
    assert require_undos(production, {}, lenient=True) == (told,), "a rollback waits for no undo"
