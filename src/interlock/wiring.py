"""The frozen record of handles that one process works with. `app` fills it; edges read it."""

from __future__ import annotations

from dataclasses import dataclass

from interlock.call.engine import Calls
from interlock.model_call import ModelCalls
from interlock.runtime import Runtime
from interlock.services.authenticate import Authenticator
from interlock.services.import_prices import Prices
from interlock.services.kill import KillSwitch
from interlock.services.register import Registrar
from interlock.settings import Settings
from interlock.store.budgets import Budgets
from interlock.store.database import Store
from interlock.store.keyring import Keyring
from interlock.store.memory import Memory
from interlock.upstream.declared import DeclaredServers


@dataclass(frozen=True, slots=True, kw_only=True)
class Wired:
    """Everything an edge (gateway, API, clock job) may use."""

    settings: Settings
    runtime: Runtime
    store: Store
    memory: Memory
    keyring: Keyring
    authenticator: Authenticator
    servers: DeclaredServers
    registrar: Registrar
    budgets: Budgets
    prices: Prices
    calls: Calls
    kill: KillSwitch
    models: ModelCalls
