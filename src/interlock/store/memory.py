"""What a decision reads, as values in memory: bundle, revocations, runs, pins, breakers, live actions.

No decision waits for SQL. Everything here is loaded from the store at start and changed afterwards only
by `Transaction.on_commit` effects, so memory never runs ahead of the disk, but for two exceptions. The count
of calls is reserved at the moment of the decision, with no await between check and count, and given back
when the call turns out not to happen. A kill is in force before it is on disk: early refusals do no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from interlock.core.action import ActionState
from interlock.core.admission import Approved, RunFacts, Snapshot
from interlock.core.budget import Account
from interlock.core.bundle import Bundle
from interlock.core.document.tool import PEOPLE
from interlock.core.identity import Revocations
from interlock.core.kill import KillLevel, Kills, belongs_to, strictest
from interlock.core.model import AutonomyTier, BreakerState, Json, Pin, Principal, value
from interlock.core.reach import Measured
from interlock.core.track_record import TrackRecord
from interlock.store.flights import Flights

SchemaCheck = Callable[[Mapping[str, Json]], str | None]
CallKey = tuple[str, str, str]
_NOT_ASKED = Measured(bundle="")


@value
class LiveAction:
    """An action that is open, or whose outcome nobody has collected yet.

    `successor` names the revision that took its place when a person changed its arguments, `comp_of` the
    action that it undoes, `follows` the one whose second step it is: nobody's call is identical to these.
    """

    id: str
    run: str
    tool: str
    digest: str
    agent: str
    state: ActionState
    approval: str = ""
    expires_at: int = 0
    due_at: int = 0
    successor: str = ""
    idempotency_key: str = ""
    comp_of: str = ""
    follows: str = ""

    @property
    def key(self) -> CallKey:
        """What makes a call identical to another."""
        return call_key(self.run, self.tool, self.digest, self.idempotency_key)


def call_key(run: str, tool: str, digest: str, idempotency_key: str = "") -> CallKey:
    """Return what makes calls identical: the run and the caller's own key, else run, tool and arguments."""
    return (run, "", idempotency_key) if idempotency_key else (run, tool, digest)


def _nobody_pays(_: Principal) -> Sequence[Account]:
    """Stand for the accounts of a process that has none."""
    return ()


@dataclass(slots=True, kw_only=True)
class Memory:
    """The versioned values of one environment.

    `earned` is what the track records say; `autonomy` is what counts of it now, `trials` the clean ones of
    this version, known of workflows that ask for some (F1, F3).
    """

    environment: str
    bundle: Bundle | None = None
    bundle_version: int = 0
    revoked: Revocations = field(
        default_factory=lambda: Revocations(agents={}, runs=frozenset(), tokens=frozenset(), keys=frozenset())
    )
    runs: dict[str, RunFacts] = field(default_factory=dict[str, RunFacts])
    pins: dict[str, Pin] = field(default_factory=dict[str, Pin])
    validators: dict[str, SchemaCheck] = field(default_factory=dict[str, SchemaCheck])
    breakers: dict[tuple[str, str], BreakerState] = field(default_factory=dict[tuple[str, str], BreakerState])
    tripped: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    breaker_moves: int = 0
    autonomy: dict[tuple[str, str], AutonomyTier] = field(default_factory=dict[tuple[str, str], AutonomyTier])
    earned: dict[tuple[str, str], TrackRecord] = field(default_factory=dict[tuple[str, str], TrackRecord])
    kill: Kills = field(default_factory=dict[str, KillLevel])
    kills: dict[str, tuple[str, KillLevel]] = field(default_factory=dict[str, tuple[str, KillLevel]])
    flights: Flights = field(default_factory=Flights)
    actions: dict[str, LiveAction] = field(default_factory=dict[str, LiveAction])
    calls: dict[CallKey, str] = field(default_factory=dict[CallKey, str])
    watchers: list[Callable[[LiveAction], None]] = field(default_factory=list[Callable[[LiveAction], None]])
    on_bundle: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    on_pin: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    on_run_over: list[Callable[[str], None]] = field(default_factory=list[Callable[[str], None]])
    on_kill: list[Callable[[str, KillLevel], None]] = field(
        default_factory=list[Callable[[str, KillLevel], None]]
    )
    exercises: dict[str, tuple[str, str, str]] = field(default_factory=dict[str, tuple[str, str, str]])
    trials: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    accounts: Callable[[Principal], Sequence[Account]] = _nobody_pays

    def snapshot(
        self,
        principal: Principal,
        tool: str,
        *,
        approved: Approved | None = None,
        measured: Measured | None = None,
        own: int = 0,
    ) -> Snapshot:
        """Return everything the decision about one call of `tool` reads.

        `measured` is what its preview said; `own` calls of `tool` are reserved for this very call and do not
        count against it.
        """
        run = self.runs.get(principal.run)
        reach = _NOT_ASKED if measured is None else self._still(measured)
        above = self._above(run) if run is not None and run.above else ()
        if own and run is not None:
            run, *rest = (_without(each, tool, own) for each in (run, *above))
            above = tuple(rest)
        return Snapshot(
            self.environment,
            self.bundle,
            self.revoked,
            run,
            above,
            self.pins.get(tool),
            self.breakers,
            self._paying(principal, tool),
            self.autonomy.get((principal.workflow, tool)) if self.autonomy else None,
            self.validators.get(tool),
            reach.reach,
            reach.problem,
            approved,
            self.kill,
            tripped=self.tripped,
            exercised=self.exercised(tool),
            trials=self.trials.get((principal.workflow, tool), 0) if self.trials else 0,
        )

    def exercised(self, tool: str) -> bool:
        """Whether the undo of `tool` was tried out on both tools as they are registered now (E5)."""
        known = self.exercises.get(tool)
        compiled = None if known is None or self.bundle is None else self.bundle.tools.get(tool)
        if known is None or compiled is None or compiled.document is None:
            return False
        undo = compiled.document.taken_back_by
        if undo is None:
            return False
        name = undo.tool
        pin, undo_pin = self.pins.get(tool), self.pins.get(name)
        return pin is not None and undo_pin is not None and known == (pin.digest, name, undo_pin.digest)

    def _above(self, run: RunFacts) -> tuple[RunFacts, ...]:
        """Return the runs above; one that is not known any more has ended."""
        return tuple(
            self.runs.get(name) or RunFacts(run=name, workflow=workflow, version=0, open=False)
            for name, workflow in run.above
        )

    def _paying(self, principal: Principal, tool: str) -> Sequence[Account]:
        """Return the accounts that a call is charged to, if it costs anything."""
        compiled = None if self.bundle is None else self.bundle.tools.get(tool)
        return self.accounts(principal) if compiled is not None and compiled.cost_per_call else ()

    def _still(self, measured: Measured) -> Measured:
        """Return what was measured, if the policy that declares the preview still stands."""
        if self.bundle is None or self.bundle.digest != measured.bundle:
            return Measured(bundle="", problem="the policy changed while it was asked")
        return measured

    def asks_people(self, run: str) -> bool:
        """Whether what a tool server asks during a call of `run` is put to people."""
        facts = self.runs.get(run)
        compiled = None if self.bundle is None or facts is None else self.bundle.workflows.get(facts.workflow)
        return compiled is not None and compiled.document.elicitation == PEOPLE

    def delay_of(self, tool: str) -> int:
        """Return how long a call of `tool` stays cancellable before it is sent, in microseconds."""
        compiled = None if self.bundle is None else self.bundle.tools.get(tool)
        return 0 if compiled is None else compiled.delay

    def put_bundle(self, bundle: Bundle | None, *, version: int | None = None) -> None:
        """Decide by `bundle` from now on, and tell who follows it; without one all is denied.

        A version that a later one has overtaken changes nothing.
        """
        version = self.bundle_version if version is None else version
        if version < self.bundle_version:
            return
        self.bundle, self.bundle_version = bundle, version
        for told in self.on_bundle:
            told()

    def count_call(self, run: str, tool: str) -> None:
        """Reserve one call of `tool`, in the runs above too. Call it in the same breath as the decision."""
        for facts in self._line(run):
            counts = _counts(facts)
            counts[tool] = counts.get(tool, 0) + 1

    def uncount_call(self, run: str, tool: str) -> None:
        """Give a reserved call back: it was denied or never sent."""
        for facts in self._line(run):
            counts = _counts(facts)
            counts[tool] = max(0, counts.get(tool, 0) - 1)

    def recount(self, run: str, counts: Mapping[str, int]) -> None:
        """Count calls that other processes made in a run; what is reserved here and not on disk stays so."""
        facts = self.runs.get(run)
        if facts is not None:
            known = _counts(facts)
            for tool, count in counts.items():
                known[tool] = max(count, known.get(tool, 0))

    def _line(self, run: str) -> Sequence[RunFacts]:
        """Return a run and those above it, as far as they are known."""
        facts = self.runs.get(run)
        if facts is None:
            return ()
        if not facts.above:
            return (facts,)
        above = [self.runs.get(name) for name, _ in facts.above]
        return (facts, *(each for each in above if each is not None))

    def open_run(self, facts: RunFacts) -> None:
        """Know a run from now on."""
        self.runs[facts.run] = replace(facts, calls=dict(facts.calls))

    def close_run(self, run: str) -> None:
        """Let nothing more be decided for `run` but a denial."""
        facts = self.runs.get(run)
        if facts is not None:
            self.runs[run] = replace(facts, open=False)
            for told in self.on_run_over:
                told(run)

    def label_run(self, run: str, labels: Iterable[str]) -> None:
        """Add taint labels to `run`; none is ever taken away (H7)."""
        facts = self.runs.get(run)
        if facts is not None and not facts.labels.issuperset(labels):
            self.runs[run] = replace(facts, labels=facts.labels | frozenset(labels))

    def score_run(self, run: str, score: int | None) -> None:
        """Know the lowest score of `run` that counts now (E2)."""
        facts = self.runs.get(run)
        if facts is not None and facts.score != score:
            self.runs[run] = replace(facts, score=score)

    def put_kill(self, kill: str, subject: str, level: KillLevel) -> None:
        """Refuse, from this very tick, what a kill of `subject` refuses; a stop cuts what is under way."""
        self.kills[kill] = (subject, level)
        self.kill = strictest(self.kills.values())
        if level is KillLevel.STOP:
            self.flights.cut(subject)
        for told in self.on_kill:
            told(subject, level)

    def subjects(self, principal: Principal, tool: str = "") -> tuple[str, ...]:
        """Return every subject whose kill reaches a call of `principal`, its run's ancestors among them."""
        run = self.runs.get(principal.run)
        return belongs_to(
            environment=self.environment,
            agent=principal.agent,
            workflow=principal.workflow,
            run=principal.run,
            tool=tool,
            above=() if run is None else run.above,
        )

    def kill_of(self, principal: Principal) -> str:
        """Return the strictest kill that reaches the calls of `principal`, "" where none does."""
        reached = self.subjects(principal)
        found = ((level.rank, kill) for kill, (subject, level) in self.kills.items() if subject in reached)
        return max(found, default=(0, ""))[1]

    def lift_kill(self, kill: str) -> None:
        """Refuse no more by this kill; what others stop stays stopped."""
        self.kills.pop(kill, None)
        self.kill = strictest(self.kills.values())

    def put_breaker(self, subject: tuple[str, str], state: BreakerState, why: str) -> None:
        """Decide by a breaker as it stands now; `why` says why it opened."""
        self.breaker_moves += 1
        self.breakers.pop(subject, None)
        self.tripped.pop(subject, None)
        if state is not BreakerState.CLOSED:
            self.breakers[subject], self.tripped[subject] = state, why

    def set_pin(self, pin: Pin, check: SchemaCheck | None) -> None:
        """Know a tool as it was registered, and how to check its arguments."""
        self.pins[pin.tool] = pin
        if check is not None:
            self.validators[pin.tool] = check
        for told in self.on_pin:
            told()

    def live(self, key: CallKey) -> LiveAction | None:
        """Return the action an identical call attaches to, if there is one."""
        found = self.calls.get(key)
        return self.actions.get(found) if found is not None else None

    def put_action(self, action: LiveAction) -> None:
        """Remember where an action stands and tell who watches."""
        self.actions[action.id] = action
        if not (action.comp_of or action.follows):
            self.calls[action.key] = action.id
        for watcher in self.watchers:
            watcher(action)

    def forget_action(self, action: str) -> None:
        """Let go of an action whose outcome was collected: an identical call is a new one."""
        known = self.actions.pop(action, None)
        if known is not None and self.calls.get(known.key) == action:
            del self.calls[known.key]


def _without(facts: RunFacts, tool: str, own: int) -> RunFacts:
    """Return a run as if so many calls of `tool` were not counted."""
    return replace(facts, calls={**facts.calls, tool: max(0, facts.calls.get(tool, 0) - own)})


def _counts(facts: RunFacts) -> dict[str, int]:
    counts = facts.calls
    if not isinstance(counts, dict):  # only `open_run` puts facts here, and it copies into a dict
        raise TypeError("the counts of a run in memory are a dict")
    return counts
