"""The base installation (`pip install interlock`, no extra) is a whole client of a remote server (H5).

The commands run in a process that refuses to import any distribution the base does not depend on, against
a running server that they reach by URL, with an empty data directory.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from docs.generate import commands
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.main import get_command

from interlock.cli.main import assemble
from support.served import Served, environment, served

_RUN = """
import contextlib, io, json, sys
from importlib.metadata import packages_distributions

allowed, commands = json.load(sys.stdin)
refused = {
    module
    for module, owners in packages_distributions().items()
    if module != "interlock" and not {owner.lower().replace("_", "-") for owner in owners} & set(allowed)
}


class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in refused:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def play(command):
    sys.argv = ["interlock", *command.split()]
    out, err = (io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main()
        except SystemExit as ended:
            code = ended.code
    return command, code or 0, *(each.buffer.getvalue().decode() for each in (out, err))


sys.meta_path.insert(0, Refuse())
from interlock.cli.main import main

json.dump([play(command) for command in commands], sys.stdout)
"""

_MANIFEST = """
apiVersion: interlock/v1
kind: Person
metadata: {name: maria}
spec: {email: maria@example.com, roles: [admin, policy_author, approver, agent_owner, auditor]}
---
apiVersion: interlock/v1
kind: Agent
metadata: {name: bot}
spec: {owner: maria}
---
apiVersion: interlock/v1
kind: Workflow
metadata: {name: support}
spec:
  owner: maria
  agent: bot
  tools: []
"""

ANSWERED = [
    "apply --yes interlock.yaml",
    "plan interlock.yaml",
    "doctor",
    "blast-radius support",
    "changes list",
    "policy explain support desk.search",
    "runs list",
    "approvals list",
    "approvals digest",
    "actions list",
    "actions deliveries",
    "audit list",
    "audit export",
    "audit checkpoint",
    "audit verify",
    "agents list",
    "agents show bot",
    "agents enroll bot --workflow support",
    "agents suspend bot --reason r",
    "agents resume bot --reason r",
    "token list",
    "token keys",
    "token create --label ci",
    "token rotate-keys",
    "tools list",
    "tools pins",
    "tools servers",
    "agents retire bot --reason r",
    "budget show",
    "budget history",
    "budget report",
    "prices list",
    "prices diff",
    "prices update",
    "signals context",
    "alerts list",
    "alerts rules",
    "alerts deliveries",
    "incidents list",
    "kill list",
    "breaker list",
    "autonomy show",
    "autonomy history",
    "digest list",
    "deployments list",
    "deployments register support --code c",
    "rollback list",
    "kill all --reason r",
]
"""What the server answers; they exit with 0."""

REFUSED = [
    "changes show chg_none",
    "changes approve chg_none",
    "changes reject chg_none --reason r",
    "runs show run_none",
    "runs end run_none",
    "approvals show apr_none",
    "approvals approve apr_none",
    "approvals reject apr_none --reason r",
    "approvals modify apr_none --reason r --arguments {}",
    "approvals answer apr_none yes",
    "actions show act_none",
    "audit show act_none",
    "actions cancel act_none --reason r",
    "actions settle act_none",
    "actions void act_none --reason r",
    "actions follow-up act_none --reason r",
    "actions resolve act_none --reason r --happened",
    "actions redeliver dlv_none --reason r",
    "undo show act_none",
    "tools exercise-undo desk.search",
    "undo action act_none --reason r",
    "undo run run_none --reason r",
    "undo stop act_none --reason r",
    "undo done act_none --reason r",
    "token revoke tok_none",
    "token revoke-key kid_none --reason r",
    "tools accept desk.search --reason r",
    "budget explain run_none",
    "budget reconcile nothing.csv",
    "budget uncharge acc_none --reason r",
    "kill tool desk.search --reason r",
    "breaker trip tool:nothing --reason r",
    "autonomy propose support desk.none",
    "autonomy promote support desk.none --reason r",
    "autonomy demote support desk.none --reason r",
    "digest show dig_none",
    "digest mark act_none fine",
    "breaker show tool:nothing",
    "breaker sign-off tool:nothing --to closed --reason r",
    "deployments stable dep_none --reason r",
    "rollback code nothing --reason r",
    "rollback state rev_none",
    "rollback keep rev_none act_none --reason r",
    "rollback undo rev_none act_none --reason r --plan none",
    "runs score run_none 0.5 --key k --source s",
    "prices history openai none",
    "alerts show evt_none",
    "incidents show inc_none",
    "incidents close inc_none --reason r",
    "kill agent nobody --reason r",
    "kill workflow nothing --reason r",
    "kill run run_none --reason r",
    "kill environment elsewhere --reason r",
    "kill show kill_none",
    "kill resume kill_none --reason r",
]
"""What the server refuses, because there is no such thing: its error arrives, not a traceback."""

SERVER_ONLY = [
    "validate interlock.yaml",
    "schema",
    "serve --port 0",
    "policy test fixture.yaml",
    "run support -- true",
    "mcp --workflow support",
    "demo --once",
]
"""What needs `interlock[server]`, and says so."""

NOT_ASKED = ["init", "token login", "token passwd"]
"""What needs no server, and what asks for a password."""


def base() -> set[str]:
    """Return the distributions that the base installation brings, by their names."""
    found: set[str] = set()
    pending = ["interlock"]
    while pending:
        name = canonicalize_name(pending.pop())
        if name in found:
            continue
        found.add(name)
        try:
            needs = [Requirement(each) for each in requires(name) or ()]
        except PackageNotFoundError:  # what other platforms or Pythons need
            continue
        pending += [each.name for each in needs if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    command: str
    code: int
    out: str
    err: str


def told(commands: list[str], folder: Path, **settings: str) -> list[Done]:
    """Run commands one after the other as the base installation would, in `folder`."""
    played = subprocess.run(
        [sys.executable, "-c", _RUN],
        input=json.dumps([sorted(base()), commands]),
        env=environment(folder / "nothing-here", **settings),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert played.returncode == 0, played.stderr
    return [Done(*each) for each in json.loads(played.stdout)]


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("remote") / "data", _MANIFEST) as running:
        yield running


def test_every_command_is_classed() -> None:
    known = {" ".join(path[1:]) for path, _ in commands(get_command(assemble()), ("interlock",))}
    classed = [*ANSWERED, *REFUSED, *SERVER_ONLY, *NOT_ASKED]
    unclassed = {name for name in known if not any(f"{each} ".startswith(f"{name} ") for each in classed)}
    assert not unclassed


def test_it_is_a_whole_client_of_a_remote_server(remote: Served, tmp_path: Path) -> None:
    (tmp_path / "interlock.yaml").write_text(_MANIFEST)
    settings = {"INTERLOCK_URL": remote.url, "INTERLOCK_TOKEN": remote.person()}
    helped, version, *answered = told(["--help", "--version", *ANSWERED], tmp_path, **settings)
    assert (helped.code, version.code) == (0, 0)
    assert version.out.startswith("interlock ")
    assert [each for each in answered if each.code] == []
    for each in told(REFUSED, tmp_path, **settings):
        assert each.code in (1, 2, 3), each
        assert "interlock[server]" not in each.err, each
    assert not (tmp_path / "nothing-here").exists()


def test_what_needs_the_server_extra_says_so(tmp_path: Path) -> None:
    (tmp_path / "interlock.yaml").write_text(_MANIFEST)
    (tmp_path / "fixture.yaml").write_text("{}")
    (tmp_path / "nothing-here").mkdir()
    (tmp_path / "nothing-here" / "control.db").touch()
    for each in told([*SERVER_ONLY, "runs list"], tmp_path):
        assert each.code in (2, 3), each
        assert "interlock[server]" in each.err, each
