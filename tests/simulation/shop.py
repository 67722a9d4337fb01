"""The shop that is simulated: its tools, one of each effect class with and without an approval, its people.

What writes has an undo that is a write of its own: one that is known by its key, and one that happens once.

The database with this manifest in force is made once for each test process and copied for each seed.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import sqlalchemy as sa
from tests.simulation.store import FaultyFile

from interlock.core.approval import Decider
from interlock.core.bundle import Bundle, compile_bundle
from interlock.core.document.identity import Agent, Team
from interlock.core.document.identity import Person as Someone
from interlock.core.document.kind import AnyDocument
from interlock.core.document.tool import BlastRadius, Companion, Probe, Tool, ToolServer
from interlock.core.document.workflow import Approvals, BreakerLimits, Grant, Workflow
from interlock.core.model import EffectClass, OnFailure, RiskTier, Source
from interlock.runtime import Runtime
from interlock.settings import Settings, load
from interlock.store import bundles, documents
from interlock.store.memory import Memory
from interlock.store.migrate import migrate
from interlock.store.people import Person
from interlock.store.transaction import Transaction

TIMEOUT = 2
"""Seconds a call may take."""
EXPIRES = 40
"""Seconds after which a request for approval expires."""
PEOPLE = (Decider(name="maria"), Decider(name="deng"))
STARTER = Person(name="kim", roles=frozenset({"admin"}))
"""Who starts every run, and so may sign off no breaker that one of them opened."""
SIGNERS = (Person(name="maria", roles=frozenset({"operator"})), STARTER)
ENVIRONMENT = "dev"
_MAP = BlastRadius(widest_scope="one order", impact="a wrong order", reversible="yes")
_READ = Companion(tool="shop.read", arguments={})
_DROP = Companion(tool="shop.drop", arguments={"order": "$args.order"})
_DROP_RESULT = Companion(tool="shop.drop", arguments={"order": "$result.order"})
_RETURN = Companion(tool="shop.return", arguments={"order": "$args.order"})
_FIND = Probe(tool="shop.find", arguments={"key": "$key"})
_LIMITED, _HIGH = RiskTier.LIMITED_WRITE, RiskTier.HIGH_BLAST_RADIUS
_ONCE, _IDEMPOTENT = EffectClass.ONCE, EffectClass.IDEMPOTENT


def _tool(
    name: str, tier: RiskTier, effect: EffectClass, *, undo: Companion | None = None, delay: int = 0,
    probe: Probe | None = None,
) -> Tool:  # fmt: skip
    return Tool(
        name=f"shop.{name}", tier=tier, effect=effect, blast_radius=_MAP, undo=undo, delay=delay, probe=probe
    )


TOOLS = (
    _tool("read", RiskTier.READ_ONLY, EffectClass.READ),
    _tool("peek", _HIGH, EffectClass.READ),
    _tool("write", _LIMITED, _ONCE, undo=_DROP),
    _tool("ask", _LIMITED, _ONCE, undo=_DROP),
    _tool("refund", _HIGH, _ONCE, undo=_RETURN),
    _tool("note", _LIMITED, _IDEMPOTENT, undo=_DROP),
    _tool("credit", _HIGH, _IDEMPOTENT, undo=_DROP_RESULT),
    _tool("later", _LIMITED, _ONCE, undo=_RETURN, delay=2),
    _tool("slowly", _HIGH, _IDEMPOTENT, undo=_DROP, delay=2),
    _tool("pay", _LIMITED, EffectClass.PROBEABLE, undo=_DROP, probe=_FIND),
    _tool("find", RiskTier.READ_ONLY, EffectClass.READ),
    _tool("drop", _LIMITED, _IDEMPOTENT, undo=_READ),
    _tool("return", _LIMITED, _ONCE, undo=_READ),
)
EFFECTS = {each.name: each.effect for each in TOOLS}
UNDOS = frozenset(each.undo.tool for each in TOOLS if each.undo) - {_READ.tool}
ASKED_FOR = frozenset(each.name for each in TOOLS if each.tier is _HIGH)
"""The tools of which no call may happen that nobody approved."""


def manifest() -> list[AnyDocument]:
    """Return the documents of the shop."""
    return [
        *(Someone(name=name, email=f"{name}@example.com") for name in ("maria", "deng", "kim")),
        Team(name="desk", members=("maria", "deng")),
        Agent(name="bot", owner="maria"),
        ToolServer(name="shop", transport="stdio", command=("shop",), source=Source.TICKET),
        *TOOLS,
        Workflow(
            name="orders",
            agent="bot",
            owner="maria",
            tools=tuple(Grant(tool=each.name) for each in TOOLS),
            breaker=BreakerLimits(tool_failures=2, identical_calls=3),
            on_failure=OnFailure.UNDO,
            approvals=Approvals(approvers=("desk",), expire_after=EXPIRES, sla=10),
        ),
    ]


@cache
def bundle() -> Bundle:
    """Return the compiled shop."""
    return compile_bundle(manifest(), environment=ENVIRONMENT, versions={"orders": 1})


class Place:
    """Where the databases of one test process lie: one file, anew for each seed."""

    def __init__(self) -> None:
        memory = Path("/dev/shm")
        home = Path(tempfile.mkdtemp(prefix="ilk-sim-", dir=memory if memory.is_dir() else None))
        atexit.register(shutil.rmtree, home, ignore_errors=True)
        self.settings = settings(home / "data")
        self._path = home / "data" / "interlock.db"
        self._template = home / "template.db"
        self.dialect = FaultyFile(sa.make_url(f"sqlite:///{self._path}"))
        self._fill()

    def anew(self) -> FaultyFile:
        """Return the database as it is before anything has happened."""
        self.dialect.readers.dispose()
        for each in self._path.parent.glob("interlock.db*"):
            each.unlink()
        shutil.copyfile(self._template, self._path)
        return self.dialect

    def _fill(self) -> None:
        runtime = Runtime.real()
        with self.dialect.writer.connect() as connection, connection.begin():
            migrate(connection, now=0)
            transaction = Transaction(connection, now=0, ids=runtime.ids)
            every = {(type(each).__name__, each.name): 1 for each in manifest()}
            base = documents.head_version(connection, ENVIRONMENT)
            memory = Memory(environment=ENVIRONMENT)
            bundles.put_in_force(transaction, memory, bundle(), every, base=base, by="maria")
        shutil.copyfile(self._path, self._template)  # the last connection has emptied the write-ahead log


def settings(data: Path) -> Settings:
    """Return the settings of the simulated engine."""
    return load({}, data=data, environment=ENVIRONMENT, call_timeout=TIMEOUT)


@cache
def place() -> Place:
    """Return the place of this test process."""
    return Place()
