"""The second act of the demonstration: two runs spend money on a model, and one does not know when to stop.

The model is the scripted one of `interlock.testing`, reached by the unchanged wire format of its vendor. What
was seen from outside becomes `Receipts`, which are then judged.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from interlock.demo.receipts import Receipts
from interlock.demo.receiver import Receiver
from interlock.demo.stage import Stage, events, wait_until
from interlock.testing import ModelServer, Received, Reply

Event = dict[str, Any]
_MODELS = ("gpt-test", "gpt-test-mini")
_KINDS = {"budget.soft", "budget.hard", "budget.kill"}


def says(request: Received) -> Reply:
    """Answer as the demonstration's script has it: tokens follow from what was asked."""
    return Reply(text="As I wrote: it is done.", input_tokens=len(request.raw) // 4, output_tokens=150)


class Spending:
    """What the second act needs besides the stage: a model, and somebody who is told."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        key = secrets.token_urlsafe(24)
        self.models = ModelServer(says, models=_MODELS)
        self.receiver = Receiver(key)
        self._key = key
        self._tell = tell
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._open.enter_context(self.models)
        self._open.enter_context(self.receiver)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def stage(self, root: Path) -> Stage:
        """Return a stage whose manifest names the model and the receiver."""
        return Stage(
            root,
            places={"models": f"{self.models.url}/v1", "hook": self.receiver.url},
            settings={"webhook_key": self._key, "notify_private": "true"},
        )

    def play(self, stage: Stage) -> Receipts:
        """Let both runs spend, and collect what everybody saw of it."""
        self._tell(
            "an agent that calls a model: interlock run letters -- python -m interlock.demo.spender letters"
        )
        letters, _ = self._run(stage, "letters", "letters")
        self._tell("one that does not stop: interlock run digest -- python -m interlock.demo.spender loop")
        digest, status = self._run(stage, "digest", "loop")
        received = [str(each.body.get("model")) for each in self.models.received]
        wait_until(self._told, f"the webhooks about {', '.join(sorted(_KINDS))}")
        self._tell("reading the books: interlock budget report, budget explain, alerts list, incidents list")
        run = digest[0]["headers"].get("x-interlock-run-id", "") if digest else ""
        return Receipts(
            letters=letters,
            digest=digest,
            digest_status=status,
            received=received,
            notices=tuple(self.receiver.notices),
            unsigned=self.receiver.refused,
            report=stage.json("budget", "report", "--by", "workflow,model,customer"),
            explained=stage.json("budget", "explain", run),
            alerts=stage.json("alerts", "list")["items"],
            incidents=stage.json("incidents", "list")["items"],
        )

    def _run(self, stage: Stage, workflow: str, work: str) -> tuple[list[Event], int]:
        agent = stage.run_agent(workflow, sys.executable, "-m", "interlock.demo.spender", work)
        return list(events(agent)), agent.wait()

    def _told(self) -> bool:
        """Whether everybody has been told: notices go out together, in no order."""
        return {each["kind"] for each in self.receiver.notices} >= _KINDS
