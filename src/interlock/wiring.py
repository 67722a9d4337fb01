"""The frozen records of handles that one process works with. `app` fills them; edges read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlock.call.engine import Calls
    from interlock.model_call.engine import ModelCalls
    from interlock.runtime import Runtime
    from interlock.services.authenticate import Authenticator
    from interlock.services.follow import Follow
    from interlock.services.import_prices import Prices
    from interlock.services.kill import KillSwitch
    from interlock.services.register import Registrar
    from interlock.services.track import TrackRecords
    from interlock.services.trip import Breakers
    from interlock.settings import Settings
    from interlock.store.budgets import Budgets
    from interlock.store.database import Store
    from interlock.store.keyring import Keyring
    from interlock.store.memory import Memory
    from interlock.upstream.declared import DeclaredServers


@dataclass(frozen=True, slots=True, kw_only=True)
class WiredModels:
    """What every process has: enough to serve model calls, without what speaks to tool servers."""

    settings: Settings
    runtime: Runtime
    store: Store
    memory: Memory
    follow: Follow
    keyring: Keyring
    authenticator: Authenticator
    budgets: Budgets
    prices: Prices
    kill: KillSwitch
    breakers: Breakers
    tracked: TrackRecords
    models: ModelCalls


@dataclass(frozen=True, slots=True, kw_only=True)
class Wired(WiredModels):
    """Everything an edge (gateway, API, clock job) may use."""

    servers: DeclaredServers
    registrar: Registrar
    calls: Calls
