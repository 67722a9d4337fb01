"""A gateway with a relaxed and a strict workflow on a database, also as a process that can be killed.

`python -m support.model_endings DATA DATABASE UPSTREAM` says its address and a token of each workflow.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from interlock.core.document.kind import AnyDocument
from interlock.core.document.provider import DeclaredPrice, DeclaredRates, Timeouts
from interlock.core.document.spending import Budget, Models
from interlock.core.document.workflow import Workflow
from interlock.core.model import WireFamily
from support.model_gateway import CLAUDE, GPT, a_model, a_model_gateway, a_provider, manifest
from support.money import dollars

RELAXED, STRICT = "chat", "strict"
DEAR = DeclaredPrice(rates=DeclaredRates(input=10**15, output=10**15))
_SCOPE = Models(allow=(GPT, CLAUDE, "gone-test", "dear-test"))
_QUICK = Timeouts(connect=1, first_byte=1, idle=1)


def documents(upstream: str, timeouts: Timeouts = _QUICK) -> tuple[AnyDocument, ...]:
    """Return a policy whose two workflows differ in how their holds are written down."""
    models = (a_model(GPT), a_model("dear-test", DEAR), a_model("hidden-test"))
    serving = (
        a_provider("acme", f"{upstream}/v1", *models, timeouts=timeouts),
        a_provider("claude", upstream, a_model(CLAUDE), wire_formats=(WireFamily.ANTHROPIC,)),
        a_provider("gone", "http://127.0.0.1:9/v1", a_model("gone-test")),
    )
    budget = Budget(run=dollars(100), day=dollars(1_000))
    strict = Budget(run=dollars(100), day=dollars(1_000), strict=True)
    other = Workflow(name=STRICT, agent="bot", owner="maria", budget=strict, models=_SCOPE)
    return (*manifest(serving, budget, models=_SCOPE), other)


async def main(data: str, database: str, upstream: str) -> None:
    """Serve until killed."""
    patient = Timeouts(connect=5, first_byte=60, idle=60)
    async with a_model_gateway(documents(upstream, patient), Path(data), database=database) as running:
        said = " ".join([running.url, await running.token(RELAXED), await running.token(STRICT)])
        sys.stdout.write(said + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
