"""`interlock run WORKFLOW -- CMD...`: start any agent program governed, unchanged (A3, H2).

The program sees loopback addresses and no secret. Its exit code is passed on, signals reach it, and the run
is recorded and ended whatever happens to it; if this process is killed, the server ends the run.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from interlock.cli.output import emit, notes, safe, warn
from interlock.cli.session import Left, RunSession
from interlock.runtime import Runtime
from interlock.sdk.endpoint import Endpoint
from interlock.sdk.grant import LIFE
from interlock.sdk.local import endpoint
from interlock.sdk.proof import Proof, Wanted, prove
from interlock.settings import Settings, agent_environment, load, misspelt

_UNGOVERNED = (
    "NOTHING OF THIS PROGRAM WAS GOVERNED. It ended without a single request to the gateway: it must find "
    "its MCP server at MCP_SERVER_URL, and its models at OPENAI_BASE_URL or ANTHROPIC_BASE_URL."
)
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What is started and how its run is opened."""

    workflow: str
    command: list[str]
    agent_key: Path | None = None
    agent: str = ""
    quiet: bool = False
    life: int = LIFE
    direct_models: bool = False
    keep_waiting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the program ended; `code` is the exit code to pass on."""

    run: str
    workflow: str
    code: int
    reason: str
    left: Left
    ungoverned: bool


def run(
    workflow: Annotated[str, typer.Argument(help="The workflow to run, as the manifest names it.")],
    command: Annotated[list[str], typer.Argument(help="After --: the agent program and its arguments.")],
    agent_key: Annotated[
        Path | None,
        typer.Option(help="The agent's private key (JWK or PEM); else you start the run yourself."),
    ] = None,
    agent: Annotated[str, typer.Option(help="Whose key it is, where the file does not say.")] = "",
    token_life: Annotated[
        int,
        typer.Option(min=10, max=600, help="Seconds a run token lasts; it is renewed at half.", hidden=True),
    ] = LIFE,
    keep_waiting: Annotated[
        bool,
        typer.Option("--keep-waiting", help="Let calls that wait for a person outlive the program."),
    ] = False,
    direct_models: Annotated[
        bool,
        typer.Option(
            "--direct-models",
            help="Leave the model providers' addresses and keys of your environment to the program. "
            "Its model calls are not governed; the run's record says so.",
        ),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing of our own but problems.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print how it ended as JSON, last.")] = False,
) -> None:
    """Run an agent program governed: its tool calls go through Interlock, and no secret goes into it."""
    launch = Launch(
        workflow=workflow,
        command=command,
        agent_key=agent_key,
        agent=agent,
        quiet=quiet or as_json,
        life=token_life,
        direct_models=direct_models,
        keep_waiting=keep_waiting,
    )
    settings = load()
    for each in misspelt():
        warn(each)
    with endpoint(settings) as place:
        proof = proof_of(launch, place, settings)
        ended = asyncio.run(_govern(launch, place, proof))
    if as_json:
        shown = {
            "run": ended.run,
            "workflow": ended.workflow,
            "exit_code": ended.code,
            "reason": ended.reason,
            "direct_models": direct_models,
            "ungoverned": ended.ungoverned,
            "cancelled": ended.left.cancelled,
            "waiting": ended.left.waiting,
        }
        emit(shown, "", True)
    sys.exit(ended.code)


def proof_of(launch: Launch, place: Endpoint, settings: Settings) -> Proof:
    """Return what opens the run: the agent's own key, or a one-time code that the person asks for."""
    wanted = Wanted(
        workflow=launch.workflow,
        agent_key=launch.agent_key,
        agent=launch.agent,
        direct_models=launch.direct_models,
    )
    return prove(wanted, place, settings, otherwise=" with --agent-key.")


async def _govern(launch: Launch, place: Endpoint, proof: Proof) -> Ended:
    """Open the run, forward for the program while it lives, end the run."""
    from interlock.cli.forward import Forwarder

    runtime = Runtime.real()
    session = RunSession(place, runtime, life=launch.life)
    reason, finished, ungoverned, failed = "the launcher failed", False, False, False
    try:
        await session.open(proof)
        forwarder = Forwarder(place, session)
        await forwarder.start()
        _say(launch, f"run {session.run} of {session.workflow} is open")
        if launch.direct_models:
            _say(launch, "model calls of this run go to the provider directly and are not governed")
        models = None if launch.direct_models else forwarder.model_urls
        keeping = runtime.scheduler.spawn(
            session.keep(lambda text: _say(launch, text)), name="renew run token"
        )
        try:
            ran = await _child(launch.command, agent_environment(forwarder.urls, model_urls=models))
            code, reason, finished, failed = ran.code, ran.reason, True, ran.code != 0
            ungoverned = ran.started and not session.reached
        finally:
            keeping.cancel()
            await forwarder.stop()
    finally:
        left = await session.end(
            reason,
            keep_waiting=launch.keep_waiting and finished,
            ungoverned=ungoverned,
            failed=failed,
        )
    if ungoverned:
        warn(_UNGOVERNED)
    for text in _parting(session.run, reason, left):
        _say(launch, text)
    return Ended(
        run=session.run,
        workflow=session.workflow,
        code=code,
        reason=reason,
        left=left,
        ungoverned=ungoverned,
    )


def _parting(run: str, reason: str, left: Left) -> Iterator[str]:
    """Say how it ended, and what became of the calls that still waited."""
    if left.waiting:
        yield f"the program ended ({reason}); the run {run} stays open until the last of these has ended"
        for each in left.waiting:
            yield f"waits: {each['tool']} {each['approval'] or ''}; interlock actions show {each['action']}"
        return
    yield f"run {run} ended: {reason}"
    person = [each["approval"] for each in left.cancelled if each["state"] == "waiting_approval"]
    other = [each["action"] for each in left.cancelled if each["state"] != "waiting_approval"]
    for names, what in ((person, "a person"), (other, "its time")):
        if names:
            number = "1 call" if len(names) == 1 else f"{len(names)} calls"
            were = "was" if len(names) == 1 else "were"
            yield f"{number} still waited for {what} and {were} cancelled: {', '.join(names)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ran:
    """What became of the program: the exit code to pass on, what happened, and whether it ran at all."""

    code: int
    reason: str
    started: bool = True


async def _child(command: list[str], environment: dict[str, str]) -> _Ran:
    """Run the program to its end. From before it begins, signals are its own to answer."""
    loop, passing = asyncio.get_running_loop(), _Signals()
    for number in _SIGNALS:
        loop.add_signal_handler(number, passing.on, number)
    try:
        child = await asyncio.create_subprocess_exec(*command, env=environment)
        passing.to(child)
        code = await child.wait()
    except FileNotFoundError:
        return _failed(127, f"there is no program {command[0]}")
    except (PermissionError, OSError) as error:
        return _failed(126, f"the program {command[0]} cannot be started: {error.strerror}")
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
    if code >= 0:
        return _Ran(code=code, reason=f"exit code {code}")
    return _Ran(code=128 - code, reason=f"killed by signal {-code}")


class _Signals:
    """Passes signals on to the program, once it is there. A Ctrl-C reaches it by itself the first time."""

    def __init__(self) -> None:
        self._child: asyncio.subprocess.Process | None = None
        self._early: list[signal.Signals] = []
        self._from_terminal = _in_foreground()

    def to(self, child: asyncio.subprocess.Process) -> None:
        """Pass on what came before the program was there, and what comes."""
        self._child = child
        for number in self._early:
            self.on(number)

    def on(self, number: signal.Signals) -> None:
        """Pass one signal on."""
        if self._child is None:
            self._early.append(number)
            self._from_terminal = False
            return
        if number is signal.SIGINT and self._from_terminal:
            self._from_terminal = False
            return
        with suppress(ProcessLookupError):
            self._child.send_signal(number)


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def _failed(code: int, reason: str) -> _Ran:
    notes.print(f"[red]{safe(reason)}[/red]")
    return _Ran(code=code, reason=reason, started=False)


def _say(launch: Launch, text: str) -> None:
    if not launch.quiet:
        notes.print(f"[dim]interlock: {safe(text)}[/dim]")
