"""The ladder's values: unknown models have no known faults, and a plan names its steps in order."""

from __future__ import annotations

from interlock.core.conversation import WireFormat
from interlock.core.ladder import Call, CapOutput, Finish, ModelFacts, Plan, Situation, Terms


def test_nothing_is_known_of_an_unknown_model() -> None:
    known = ModelFacts(window=8_000)
    given = Situation(terms=Terms(), models={"a": known}, price=lambda _: None, allowance=None)
    assert given.facts("a") is known
    assert given.facts("b") == ModelFacts()


def test_a_plan_names_its_steps_in_their_order() -> None:
    call = Call(wire=WireFormat.CHAT, model="a", input=1, output=1)
    assert Plan(call=call, steps=(CapOutput(tokens=3), Finish())).names == ("max_tokens", "message")
