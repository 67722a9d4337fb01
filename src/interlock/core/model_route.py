"""Where a model call may go: who serves a model, and whether the workflow has it in scope (A3, B4).

A role that the workflow pins stands for its model. A model is asked for as `name` or `provider/name`, and is
served by providers that speak the caller's own wire format: nothing is translated. Fallbacks are the ones the
provider's document names, in its order, as far as the workflow may call them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from interlock.core import refusal
from interlock.core.document.provider import Provider, ProviderModel
from interlock.core.document.spending import Models
from interlock.core.model import Reason, WireFamily, value

ANY = "*"

_REMEMBERED = 4_096


@value
class Route:
    """One model at one provider."""

    provider: Provider
    model: ProviderModel

    @property
    def label(self) -> str:
        """The model as a manifest names it beyond doubt."""
        return f"{self.provider.name}/{self.model.name}"

    @property
    def names(self) -> tuple[str, str]:
        """What it may be asked for as."""
        return self.model.name, self.label


class RoutingTable:
    """Every model of one environment, by name and by wire format."""

    def __init__(self, providers: Iterable[Provider] = ()) -> None:
        self._routes: dict[tuple[WireFamily, str], list[Route]] = {}
        self._families: dict[str, WireFamily] = {}
        self._chosen: dict[tuple[int, str, WireFamily], tuple[Models, tuple[Route, ...]]] = {}
        self.providers = tuple(providers)
        for provider in self.providers:
            for model in provider.models:
                self._add(Route(provider=provider, model=model))

    def _add(self, route: Route) -> None:
        for family in route.provider.wire_formats:
            for name in route.names:
                self._routes.setdefault((family, name), []).append(route)
                self._families.setdefault(name, family)

    def choose(self, models: Models, asked: str, family: WireFamily) -> tuple[Route, ...] | Reason:
        """Return where a call for `asked` goes, the fallbacks last; or why it goes nowhere.

        Where it goes is remembered: the table and the models are of one policy, and neither changes.
        """
        key = (id(models), asked, family)
        known = self._chosen.get(key)
        if known is not None:
            return known[1]
        wanted = models.pin.get(asked, asked)
        found = self._routes.get((family, wanted), ())
        permitted = [route for route in found if permits(models, route)]
        if permitted:
            first = permitted[0]
            routes = (first, *self._fallbacks(models, first, family))
            if len(self._chosen) >= _REMEMBERED:
                self._chosen.clear()
            self._chosen[key] = models, routes  # with its models, whose id is nobody else's while they live
            return routes
        if found:
            return refusal.model_not_in_scope(wanted, self.in_scope(models, family))
        elsewhere = self._families.get(wanted)
        if elsewhere is not None:
            return refusal.model_of_another_format(wanted, elsewhere)
        return refusal.unknown_model(wanted, self.in_scope(models, family))

    def in_scope(self, models: Models, family: WireFamily) -> tuple[str, ...]:
        """Return the names of the models a workflow may call in one wire format, its roles first."""
        reachable = {
            route.model.name: None
            for (speaks, _), routes in self._routes.items()
            if speaks is family
            for route in routes
            if permits(models, route)
        }
        roles = [role for role, name in models.pin.items() if (family, name) in self._routes]
        return (*roles, *reachable)

    def _fallbacks(self, models: Models, first: Route, family: WireFamily) -> Iterator[Route]:
        for name in first.provider.fallbacks.get(first.model.name, ()):
            for route in self._routes.get((family, name), ()):
                if permits(models, route):
                    yield route
                    break


def permits(models: Models, route: Route) -> bool:
    """Whether the workflow that declares `models` may call a model at a provider. None declared: none."""
    named = {*models.pin.values(), *models.degrade.values(), *models.allow}
    everything = (ANY, f"{route.provider.name}/{ANY}")
    return not named.isdisjoint((*route.names, *everything))
