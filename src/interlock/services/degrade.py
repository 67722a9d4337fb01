"""Take a model call down the ladder: beyond a hard limit, or because its run went there before (B4).

What a run keeps, the models that were swapped and where its histories are cut, is forgotten with the run. In
shadow nothing is changed, and what would have been done is told all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from interlock.core.bundle import Bundle
from interlock.core.context import MEDIA_TOKENS
from interlock.core.degradation import allowance
from interlock.core.document.spending import Budget
from interlock.core.habit import Habits
from interlock.core.ladder import Call, ModelFacts, Situation
from interlock.core.model import Principal, Reason, value
from interlock.core.model_route import Route
from interlock.core.payer import teams_of
from interlock.core.price_book import Unpriced
from interlock.core.pricing import Price, expected
from interlock.core.shape import Expected
from interlock.core.terms import facts_of, terms_of
from interlock.core.treatment import Remembered, treat
from interlock.store.memory import Memory
from interlock.upstream.llm.ask import Ask
from interlock.upstream.llm.body import decoded, rewritten

Pricer = Callable[[Principal, Route], Price | Unpriced]
USUAL_CALLS = 20
"""Calls that a run is thought to make: what is left until the kill is shared by those it still makes."""

_SHADOW = "shadow:"


@value
class Stepped:
    """A call after the ladder: what goes where, and the names of its steps, with `shadow:` in shadow."""

    ask: Ask
    route: Route
    degraded: tuple[str, ...] = ()


class Degrade:
    """The ladder in one process, and what each run keeps of it."""

    def __init__(self, *, memory: Memory, price: Pricer, habits: Habits[tuple[str, str]]) -> None:
        self._memory = memory
        self._price = price
        self._habits = habits
        self._kept: dict[str, Remembered] = {}
        self._calls: dict[str, dict[str, int]] = {}
        memory.on_run_over.append(self._forget)

    def keeps(self, run: str) -> bool:
        """Whether the calls of a run take its steps even below every limit."""
        return run in self._kept

    def down(self, ask: Ask, route: Route, *, slack: int | None, shadow: bool = False) -> Stepped:
        """Return what becomes of an attempt along `route`, whether that is a fallback or not.

        `slack` is the money left until the kill, None below every limit. In `shadow` it stays as it is, and
        what would become of it is told.
        """
        bundle, form, run = self._memory.bundle, ask.surface.form, ask.principal.run
        budget = None if bundle is None else _budget(bundle, ask.principal.workflow)
        if bundle is None or form is None or budget is None:
            return Stepped(ask=ask, route=route)
        made = self._made(run, ask.call)
        declared, asked = terms_of(ask.models, budget), ask.body.model
        swap = self._swap(bundle, ask, route, declared.swaps)
        routes = {asked: route} if swap is None else {asked: route, swap[0]: swap[1]}
        terms = replace(declared, swaps={} if swap is None else {asked: swap[0]}, shadow=shadow)
        remembered = self._kept.get(run, Remembered())
        serving = None if swap is None or asked not in remembered.swapped else swap[1]
        treated = treat(
            decoded(ask.body),
            form,
            expected=self._expected(ask, route, serving),
            situation=Situation(
                terms=terms,
                models={name: self._known(ask, each) for name, each in routes.items()},
                price=lambda call: self._cost(routes, ask, call),
                allowance=None
                if slack is None
                else allowance(slack=slack, calls_made=made, usual_calls=USUAL_CALLS),
            ),
            remembered=remembered,
            pinned=ask.pinned,
        )
        names = treated.plan.names
        if terms.shadow:
            return Stepped(ask=ask, route=route, degraded=tuple(_SHADOW + name for name in names))
        if not names:
            return Stepped(ask=ask, route=route)
        if treated.remembered:
            self._kept[run] = treated.remembered
        changed = replace(ask, body=rewritten(treated.body, ask.surface))
        return Stepped(ask=changed, route=routes[treated.plan.call.model], degraded=names)

    def _made(self, run: str, call: str) -> int:
        """Return which of its run's calls this is, however often it is tried; late ones count as the last."""
        calls = self._calls.setdefault(run, {})
        if call not in calls and len(calls) < USUAL_CALLS:
            calls[call] = len(calls) + 1
        return calls.get(call, USUAL_CALLS)

    def _expected(self, ask: Ask, route: Route, serving: Route | None) -> Expected:
        """Return what a call will come to, by the habit of the model that serves the run if it has one."""
        agent, size = ask.principal.agent, ask.body.size
        habit = self._habits.of((agent, route.model.name))
        if serving is not None:
            known = self._habits.of((agent, serving.model.name))
            habit = known if known.calls else habit
        return habit.expect(size.text, media=size.media * MEDIA_TOKENS, ratio=ask.ratio)

    def _swap(
        self, bundle: Bundle, ask: Ask, route: Route, swaps: Mapping[str, str]
    ) -> tuple[str, Route] | None:
        """Return which model may take the place of the one asked for, and where it goes; None where none may.

        The map may name a model with its provider or without, whichever way the caller does. A fallback is
        there because another provider failed: what takes its place is of its own provider.
        """
        first, *_ = *self._chosen(bundle, ask, ask.body.model), route
        names = (ask.body.model, *first.names, *route.names)
        swap = next((swaps[name] for name in names if name in swaps), None)
        if swap is None or swap in route.names:
            return None
        found = self._chosen(bundle, ask, swap)
        if route.label != first.label:
            found = tuple(each for each in found if each.provider.name == route.provider.name)
        return (swap, found[0]) if found else None

    def _chosen(self, bundle: Bundle, ask: Ask, model: str) -> tuple[Route, ...]:
        found = bundle.routes.choose(ask.models, model, ask.surface.family)
        return () if isinstance(found, Reason) else found

    def _known(self, ask: Ask, route: Route) -> ModelFacts:
        """Return what the model's document says, and what its price row says beside it."""
        price = self._price(ask.principal, route)
        if isinstance(price, Unpriced):
            return facts_of(route.model)
        return facts_of(route.model, window=price.window, max_output=price.max_output)

    def _cost(self, routes: Mapping[str, Route], ask: Ask, call: Call) -> int | None:
        price = self._price(ask.principal, routes[call.model])
        if isinstance(price, Unpriced):
            return None
        return expected(
            price,
            input_tokens=call.input,
            cache_share_permille=call.cached * 1_000 // max(call.input, 1),
            output_tokens=call.output,
            n=call.answers,
            service_tier=call.service_tier,
            tool_calls=call.server_tools,
        )

    def _forget(self, run: str) -> None:
        self._kept.pop(run, None)
        self._calls.pop(run, None)


def _budget(bundle: Bundle, workflow: str) -> Budget | None:
    """Return the budget whose terms hold: the workflow's, else its agent's, a team's, the organisation's."""
    compiled = bundle.workflows.get(workflow)
    if compiled is None:
        return None
    agent, organisation = bundle.agents.get(compiled.document.agent), bundle.organisation
    declared = (
        compiled.document.budget,
        None if agent is None else agent.budget,
        *(bundle.teams[name].budget for name in teams_of(bundle, workflow)),
        None if organisation is None else organisation.budget,
    )
    return next((each for each in declared if each is not None), None)
