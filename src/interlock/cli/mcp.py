"""`interlock mcp --workflow W`: the gateway for a client that starts its servers over stdio, unchanged.

It opens a run, passes messages between stdio and the gateway's HTTP, renews the run's token and ends the
run at the end of input. Nothing but the protocol is written to stdout.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from interlock.cli.output import notes, safe, warn
from interlock.cli.run import Launch, proof_of
from interlock.cli.session import RunSession
from interlock.errors import StoreUnavailable
from interlock.runtime import Runtime
from interlock.sdk.endpoint import Endpoint
from interlock.sdk.local import endpoint
from interlock.sdk.proof import Proof
from interlock.settings import load, misspelt


def mcp(
    workflow: Annotated[str, typer.Option(help="The workflow to run, as the manifest names it.")],
    agent_key: Annotated[
        Path | None,
        typer.Option(help="The agent's private key (JWK or PEM); else you start the run yourself."),
    ] = None,
    agent: Annotated[str, typer.Option(help="Whose key it is, where the file does not say.")] = "",
) -> None:
    """Serve the gateway over stdio for one run of a workflow.

    In an MCP client's configuration: {"command": "interlock", "args": ["mcp", "--workflow", "refunds"]}
    """
    settings = load()
    for each in misspelt():
        warn(each)
    launch = Launch(workflow=workflow, command=[], agent_key=agent_key, agent=agent, quiet=True)
    with endpoint(settings) as place:
        proof = proof_of(launch, place, settings)
        with suppress(asyncio.CancelledError):
            asyncio.run(_serve(place, proof))


async def _serve(place: Endpoint, proof: Proof) -> None:
    from interlock.cli.pump import pump

    runtime = Runtime.real()
    session = RunSession(place, runtime)
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    loop.set_exception_handler(_report)
    reason = "the connection to the gateway was lost"
    try:
        await session.open(proof)
        keeping = runtime.scheduler.spawn(session.keep(_tell), name="renew run token")
        try:
            await pump(place, session)
            reason = "the client closed its end"
        except asyncio.CancelledError:
            reason = "it was terminated"
            raise
        except (OSError, ExceptionGroup) as error:
            raise StoreUnavailable(
                "The connection to the gateway was lost.", hint="interlock doctor"
            ) from error
        finally:
            keeping.cancel()
    finally:
        await session.end(reason)


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Print what failed beside the tasks, but for one thing that is no failure.

    A read on a Unix socket that is cancelled in the very turn in which data arrives is woken after it was
    given up (anyio wakes it with a bare `Future.set_result`). Nothing is lost by it.
    """
    woken = str(context.get("message")).startswith("Exception in callback Future.set_result(")
    if not (woken and isinstance(context.get("exception"), asyncio.InvalidStateError)):
        loop.default_exception_handler(context)


def _tell(text: str) -> None:
    notes.print(f"interlock: {safe(text)}")
    sys.stderr.flush()
