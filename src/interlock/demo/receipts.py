"""What the second act should have cost and done, and what confirms it: the replies, the model, the webhooks.

What a reply used is multiplied here by the prices of the manifest. Interlock's books must say the same, to
the nano-dollar; a step holds only if all agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from interlock.demo.evidence import Step

Event = Mapping[str, Any]
NANO_PER_TOKEN = {"gpt-test": (2_500, 10_000), "gpt-test-mini": (500, 2_000)}
"""The prices of the manifest, for a token in and a token out."""
LIMIT, SOFT, CEILING = 10_000_000, 7_000_000, 15_000_000
"""The budget of a run of the digest in nano-dollars: the limit, 70 % of it, 150 % of it."""
_REFUSALS = ("run_halted", "request_exceeds_budget")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipts:
    """Everything that was seen of the money.

    `letters` and `digest` are what the agent saw of its calls, `received` the models that the provider was
    asked for, `notices` the webhooks whose signature held, `unsigned` how many others came. `report`,
    `explained`, `alerts` and `incidents` are what the commands of the same names print with `--json`.
    """

    letters: Sequence[Event]
    digest: Sequence[Event]
    digest_status: int
    received: Sequence[str]
    notices: Sequence[Event]
    unsigned: int
    report: Event
    explained: Event
    alerts: Sequence[Event]
    incidents: Sequence[Event]

    @property
    def answered(self) -> list[Event]:
        """The calls of the digest that a model answered."""
        return [each for each in self.digest if "usage" in each]

    @property
    def end(self) -> Event:
        """The last thing the digest saw."""
        return self.digest[-1] if self.digest else {}

    def raised(self, kind: str) -> list[Event]:
        """Return the alerts of a kind that are on record about the run of the digest."""
        subject = f"run:{self.explained['run']}"
        return [each for each in self.alerts if each["kind"] == kind and each["subject"] == subject]

    def told(self, kind: str) -> list[Event]:
        """Return the signed webhooks of a kind."""
        return [each for each in self.notices if each["kind"] == kind]


def judge(receipts: Receipts) -> list[Step]:
    """Return the second act's part of the report."""
    return [
        _attributed(receipts),
        _warned(receipts),
        _degraded(receipts),
        _halted(receipts),
        _incident(receipts),
        _exact(receipts),
    ]


def _attributed(receipts: Receipts) -> Step:
    wanted = _costs((("letters", receipts.letters), ("digest", receipts.answered)))
    found = {
        (each["workflow"], each["model"], each["customer"]): each["cost"] for each in receipts.report["items"]
    }
    customers = ", ".join(
        f"{customer} {_usd(cost)}"
        for (workflow, _, customer), cost in sorted(found.items())
        if workflow == "letters"
    )
    return Step(
        step="calls are attributed",
        tried="interlock budget report",
        verdict="exact" if found == wanted else "differs",
        why="one ledger row per call: workflow, model, customer, tokens, price version",
        evidence=f"{customers}: what the replies' tokens cost at the manifest's prices",
        ok=found == wanted and len(wanted) == 4,
    )


def _warned(receipts: Receipts) -> Step:
    raised, told = receipts.raised("budget.soft"), receipts.told("budget.soft")
    entry: Event = told[0]["runbook"] if told else {}
    first = str(entry.get("first_action", "nothing"))
    return Step(
        step="soft limit: one alert",
        tried=f"run of digest past {_usd(SOFT)}",
        verdict=_state(receipts, "soft"),
        why=f"nothing stops; its runbook: {first}",
        evidence=f"{_count(len(told), 'webhook')} came, its signature verified with the receiver's key",
        ok=len(raised) == len(told) == 1
        and entry.get("name") == "digest"
        and not receipts.unsigned
        and _state(receipts, "soft") == "soft",
    )


def _degraded(receipts: Receipts) -> Step:
    cut = [each for each in receipts.answered if "x-interlock-degraded" in each["headers"]]
    rows = [each for each in receipts.explained["calls"] if "model" in each["degraded"]]
    served = Counter(receipts.received)["gpt-test-mini"]
    seen = all(
        each["headers"].get("x-interlock-partial") == "true"
        and each["model"] == each["headers"].get("x-interlock-served-model") == "gpt-test-mini"
        and each["headers"].get("x-interlock-requested-model") == "gpt-test"
        for each in cut
    )
    return Step(
        step="hard limit: degraded",
        tried="gpt-test",
        verdict=str(cut[0]["headers"]["x-interlock-degraded"]) if cut else "as asked",
        why="the manifest's cheaper model serves; header and ledger row say so, the run is partial",
        evidence=f"the model server was asked for gpt-test-mini {_count(served, 'time')}",
        ok=bool(cut) and seen and len(cut) == len(rows) == served and receipts.explained["partial"] is True,
    )


def _halted(receipts: Receipts) -> Step:
    end, spent = receipts.end, receipts.explained["cost"]
    calls = len(receipts.letters) + len(receipts.answered)
    return Step(
        step="a runaway loop is killed",
        tried=f"call {len(receipts.digest)} of the loop",
        verdict=str(end.get("status")),
        why=f"never past {_usd(CEILING)}, 150 % of the limit; SDKs do not repeat it",
        evidence=f"asked {_count(int(end.get('attempts', 0)), 'time')}; the model heard nothing of it",
        ok=end.get("status") == 402
        and end.get("code") in _REFUSALS
        and end.get("attempts") == 1
        and end["headers"].get("x-should-retry") == "false"
        and len(receipts.received) == calls
        and LIMIT < spent <= CEILING
        and receipts.digest_status != 0,
    )


def _incident(receipts: Receipts) -> Step:
    subject = f"run:{receipts.explained['run']}"
    found = [each for each in receipts.incidents if each["subject"] == subject]
    pages = [each for each in receipts.told("budget.kill") if each["severity"] == "page"]
    named = bool(found and pages) and pages[0]["incident"] == found[0]["id"]
    return Step(
        step="somebody is paged",
        tried="the run of the loop",
        verdict="incident open" if found else "no incident",
        why="the budget presses the kill switch in the same tick; two people resume",
        evidence=f"the run is {receipts.explained['state']}; the signed page names the incident",
        ok=len(found) == 1 and named and receipts.explained["state"] != "open",
    )


def _exact(receipts: Receipts) -> Step:
    spent = receipts.explained["cost"]
    rows = sum(each["cost"] for each in receipts.explained["calls"])
    paid = [each["spent"] for each in receipts.explained["accounts"]]
    replies = sum(_cost(each) for each in receipts.answered)
    total = sum(each["cost"] for each in receipts.report["items"])
    return Step(
        step="the books are exact",
        tried="interlock budget explain",
        verdict=_usd(spent),
        why="whole nano-dollars: the replies' tokens, the ledger's rows and the accounts agree",
        evidence=f"{_count(len(receipts.explained['calls']), 'row')}; run and day have spent as much",
        ok=spent == rows == replies
        and paid == [spent, spent]
        and total == receipts.report["total"]["cost"] == replies + sum(map(_cost, receipts.letters)),
    )


def _costs(runs: Iterable[tuple[str, Iterable[Event]]]) -> dict[tuple[str, str, str], int]:
    """Return what the replies cost, by workflow, model and customer."""
    found: Counter[tuple[str, str, str]] = Counter()
    for workflow, replies in runs:
        for each in replies:
            found[workflow, each["model"], each["customer"]] += _cost(each)
    return dict(found)


def _cost(reply: Event) -> int:
    """Return what a reply cost, from its own usage."""
    used, (taken, given) = reply["usage"], NANO_PER_TOKEN[reply["model"]]
    return used["prompt_tokens"] * taken + used["completion_tokens"] * given


def _state(receipts: Receipts, wanted: str) -> str:
    """Return the state if a reply told of it, before the model was swapped."""
    states = {each["headers"].get("x-interlock-budget-state") for each in receipts.answered}
    return wanted if wanted in states else "not said"


def _usd(nano: int) -> str:
    return f"${Decimal(nano).scaleb(-9).normalize():f}"


def _count(number: int, one: str) -> str:
    return f"{number or 'no'} {one if number == 1 else one + 's'}"
