"""Whether the models that documents name are served, and whether one may stand in another's place (A3, B4).

Nothing is translated from one wire format to another, so whatever serves in a model's place speaks a format
that the model is served in. What could never take effect is a problem too: it reads as if it would.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from interlock.core.document.provider import Provider
from interlock.core.document.spending import Models
from interlock.core.document.workflow import Workflow
from interlock.core.model import WireFamily
from interlock.core.model_route import ANY, Route, permits
from interlock.core.policy.flaw import Flaws, near

Routes = Mapping[str, tuple[Route, ...]]


@dataclass(frozen=True, slots=True)
class Served:
    """Who serves a model, by its name and by provider/name: here, and in other environments."""

    here: Routes
    elsewhere: Routes

    def need(self, name: str, flaws: Flaws) -> bool:
        """Whether a model is served here; note a flaw where it is not."""
        if name in self.here:
            return True
        others = [
            f"{each.provider.name} for {each.provider.environment}" for each in self.elsewhere.get(name, ())
        ]
        where = f": it is declared by {', '.join(others)}" if others else ""
        flaws.add(f"no provider serves the model {name!r}{where}", near=near(name, self.here))
        return False

    @property
    def providers(self) -> set[str]:
        """The names of the providers."""
        return {route.provider.name for routes in self.here.values() for route in routes}


def served_by(providers: Iterable[Provider], elsewhere: Iterable[Provider] = ()) -> Served:
    """Return who serves each model; `elsewhere` are the providers of other environments."""
    return Served(_routes(providers), _routes(elsewhere))


def _routes(providers: Iterable[Provider]) -> Routes:
    found: dict[str, list[Route]] = {}
    for provider in providers:
        for model in provider.models:
            route = Route(provider=provider, model=model)
            for name in route.names:
                found.setdefault(name, []).append(route)
    return {name: tuple(routes) for name, routes in found.items()}


def check_provider(provider: Provider, served: Served, flaws: Flaws) -> None:
    """Check that a provider declares each model once, and that its fallbacks exist and speak as it does."""
    spec = flaws.at("spec")
    own: set[str] = set()
    for index, model in enumerate(provider.models):
        if model.name in own:
            spec.at("models", index, "name").add(f"the model {model.name!r} is declared twice")
        own.add(model.name)
    for name, others in provider.fallbacks.items():
        here = spec.at("fallbacks", name)
        if name not in own:
            here.add(f"{provider.name} serves no model {name!r}", near=near(name, own))
        for index, other in enumerate(others):
            _check_fallback(provider, name, other, served, here.at(index))


def _check_fallback(provider: Provider, name: str, other: str, served: Served, flaws: Flaws) -> None:
    labels = {route.label: route for routes in served.here.values() for route in routes}
    if other == f"{provider.name}/{name}":
        flaws.add(f"{name!r} cannot fall back to itself")
    elif other not in labels:
        flaws.add(f"unknown model {other!r}: write provider/name", near=near(other, labels))
    elif set(labels[other].provider.wire_formats).isdisjoint(provider.wire_formats):
        flaws.add(f"{other} does not speak {_formats(provider.wire_formats)}, and nothing is translated")


def check_models(workflow: Workflow, served: Served, flaws: Flaws) -> None:
    """Check the models in a workflow's scope, what may serve in their place, and what summarises."""
    models, spec = workflow.models, flaws.at("spec", "models")
    for role, name in models.pin.items():
        _need_one(name, served, spec.at("pin", role))
    for index, name in enumerate(models.allow):
        _check_allowed(name, served, spec.at("allow", index))
    for name, other in models.degrade.items():
        _check_swap(name, other, models, served, spec.at("degrade", name))
    _check_circles(models.degrade, spec.at("degrade"))
    for index, rule in enumerate(workflow.compression):
        if rule.model is not None:
            here = flaws.at("spec", "compression", index, "model")
            if _need_one(rule.model, served, here) and not _in_scope(rule.model, models, served):
                here.add(f"the workflow may not call {rule.model!r}: pin or allow it")


def _need_one(name: str, served: Served, flaws: Flaws) -> bool:
    """Whether a name means one model for each wire format; note a flaw where it means none or several."""
    if not served.need(name, flaws):
        return False
    routes = served.here[name]
    spoken = [family for route in routes for family in route.provider.wire_formats]
    if len(spoken) > len(set(spoken)):
        labels = " or ".join(route.label for route in routes)
        flaws.add(f"several providers serve {name!r}: write {labels}")
        return False
    return True


def _check_allowed(name: str, served: Served, flaws: Flaws) -> None:
    provider, _, all_of_it = name.rpartition("/")
    if all_of_it != ANY:
        served.need(name, flaws)
    elif provider and provider not in served.providers:
        everything = [f"{each}/{ANY}" for each in sorted(served.providers)]
        flaws.add(f"unknown Provider {provider!r}", near=near(name, everything))


def _check_swap(name: str, other: str, models: Models, served: Served, flaws: Flaws) -> None:
    known = served.need(name, flaws)
    if known and not _in_scope(name, models, served):
        flaws.add(f"the workflow may not call {name!r}: pin or allow it")
    if not _need_one(other, served, flaws) or not known:
        return
    unheard = _spoken(served.here[name]) - _spoken(served.here[other])
    if unheard:
        flaws.add(f"{other!r} does not speak {_formats(sorted(unheard))}, and nothing is translated")


def _check_circles(degrade: Mapping[str, str], flaws: Flaws) -> None:
    """Note each circle once, at its first model by name."""
    for start in sorted(degrade):
        way, following = [start], degrade[start]
        while following in degrade and following not in way:
            way.append(following)
            following = degrade[following]
        if following == start == min(way):
            flaws.at(start).add(f"degrades in a circle: {' -> '.join((*way, start))}")


def _in_scope(name: str, models: Models, served: Served) -> bool:
    return any(permits(models, route) for route in served.here.get(name, ()))


def _spoken(routes: Iterable[Route]) -> set[WireFamily]:
    return {family for route in routes for family in route.provider.wire_formats}


def _formats(families: Iterable[WireFamily]) -> str:
    return " and ".join(family.value for family in families)
