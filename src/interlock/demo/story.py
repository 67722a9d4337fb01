"""The story of the demonstration: the agent acts, and this module plays everybody else.

It is the person who approves on the command line, and the one who pulls the plug while a call waits. What
was seen from outside becomes `Facts`; `evidence` judges them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from interlock.demo import mending, receipts
from interlock.demo.evidence import Facts, Step, judge, verified
from interlock.demo.spending import Spending
from interlock.demo.stage import Stage, events, wait_until

Event = dict[str, Any]


class Story:
    """One performance on a stage. `tell` hears what happens as it happens."""

    def __init__(self, stage: Stage, spending: Spending, tell: Callable[[str], None]) -> None:
        self._stage = stage
        self._spending = spending
        self._tell = tell
        self._said: dict[tuple[str, str], Event] = {}
        self._reviewer = ""
        self._waiting_before = ""
        self._waiting_after: list[str] = []
        self._mails_before_approval = 0

    def play(self) -> list[Step]:
        """Perform the whole story and return its steps. Raises `InterlockError` where it cannot go on."""
        self._set_up()
        agent = self._stage.run_agent(
            "support", sys.executable, "-m", "interlock.demo.agent", str(self._stage.repository)
        )
        for event in events(agent):
            self._on(event)
        status = agent.wait()
        spent = self._spending.play(self._stage)
        mended = mending.play(self._stage, self._reviewer, self._tell)
        self._tell("verifying the audit log")
        facts = self._facts(status)
        return [*judge(facts), *receipts.judge(spent), *mending.judge(mended), verified(facts)]

    def _set_up(self) -> None:
        self._tell("starting the server: interlock serve")
        self._stage.build()
        self._stage.start()
        self._tell("declaring who may do what: interlock apply interlock.yaml")
        self._stage.command("apply", "--yes", str(self._stage.manifest))
        self._reviewer = self._stage.token_of("deng")
        self._tell("starting the agent: interlock run support -- python -m interlock.demo.agent")

    def _on(self, event: Event) -> None:
        """Do everybody else's part in what the agent just said."""
        self._said[event["event"], event["step"]] = event
        match event["event"], event["step"]:
            case "calling", "commit":
                self._tell("the agent wants to commit; a commit has no undo here, so it waits")
                self._approve("git.git_commit", "The message is right.")
            case "waiting", "mail" if not self._waiting_before:
                self._pull_the_plug(event["approval"])
                self._approve("helpdesk.email_customers", "Three people, and it is true.")
            case "calling", _:
                self._tell(f"the agent calls {event['tool']}")
            case _:
                pass

    def _approve(self, tool: str, reason: str) -> None:
        """Decide as deng, on the command line."""
        found: list[Event] = []

        def waits() -> bool:
            found[:] = [each for each in self._waiting() if each["call"]["tool"] == tool]
            return bool(found)

        wait_until(waits, f"{tool} to wait for a person")
        approval = found[0]["id"]
        self._tell(f'deng decides: interlock approvals approve {approval} --reason "{reason}"')
        self._stage.command("approvals", "approve", approval, "--reason", reason, token=self._reviewer)

    def _waiting(self) -> list[Event]:
        return self._stage.json("approvals", "list", token=self._reviewer)["items"]

    def _pull_the_plug(self, approval: str) -> None:
        """Kill the server while the mail waits, start it again, and look for what it promised to keep."""
        self._waiting_before = approval
        self._mails_before_approval = len(self._stage.desk()["mails"])
        self._tell("the server is killed with -9 while the mail waits, and started again")
        self._stage.kill()
        self._stage.start()
        self._waiting_after = [each["id"] for each in self._waiting()]

    def _facts(self, status: int) -> Facts:
        stage = self._stage
        return Facts(
            said=self._said,
            agent_status=status,
            desk=stage.desk(),
            commits=stage.git("log", "--format=%s").splitlines(),
            committed_files=stage.git("show", "--name-only", "--format=", "HEAD").splitlines(),
            branch=stage.git("branch", "--show-current").strip(),
            audit=stage.audit(),
            verification=stage.verify_audit(),
            waiting_before=self._waiting_before,
            waiting_after=self._waiting_after,
            mails_before_approval=self._mails_before_approval,
        )
