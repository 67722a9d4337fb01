"""`interlock run` as a user runs it: exit codes, signals, no secret in the child, runs that always end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from support.warm import INTERLOCK, PYTHON, REAL

"""For what is sent a signal, or killed."""
MANIFEST = """
apiVersion: interlock/v1
kind: Person
metadata: {name: maria}
spec: {email: maria@example.com, roles: [admin, agent_owner, developer]}
---
apiVersion: interlock/v1
kind: Agent
metadata: {name: bot}
spec: {owner: maria, purpose: "tests"}
---
apiVersion: interlock/v1
kind: Workflow
metadata: {name: errands}
spec: {agent: bot, owner: maria, tools: []}
---
apiVersion: interlock/v1
kind: Agent
metadata: {name: leaver}
spec: {owner: maria, purpose: "leaves"}
---
apiVersion: interlock/v1
kind: Workflow
metadata: {name: farewell}
spec: {agent: leaver, owner: maria, tools: []}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """Runs the command with one data directory, as a user's shell would."""

    data: Path
    home: Path
    python: tuple[str, ...] = PYTHON

    def environ(self, **more: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return {
            **kept,
            "HOME": str(self.home),
            "INTERLOCK_DATA": str(self.data),
            "INTERLOCK_PORT": "0",
            **more,
        }

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.python, "-m", "interlock.cli", *arguments],
            env=self.environ(**more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, code: int = 0, **more: str) -> str:
        process = self.start(*arguments, **more)
        out, err = process.communicate(timeout=60)
        assert process.returncode == code, f"{process.returncode}\n{out}\n{err}"
        return out

    def json(self, *arguments: str) -> Any:
        before, dashes, after = arguments, (), ()
        if "--" in arguments:
            at = arguments.index("--")
            before, dashes, after = arguments[:at], ("--",), arguments[at + 1 :]
        return json.loads(self.run(*before, "--json", *dashes, *after))

    def runs(self) -> list[dict[str, Any]]:
        return self.json("runs", "list")["items"]

    def ended(self, *arguments: str) -> dict[str, Any]:
        """Run a program governed to its end and return its run as the server has it."""
        return self.json("runs", "show", self.json("run", "errands", *arguments)["run"])


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory in which the manifest was applied; copied, never used."""
    home = tmp_path_factory.mktemp("applied")
    (home / "manifest.yaml").write_text(MANIFEST)
    Shell(data=home / "data", home=home).run("apply", str(home / "manifest.yaml"), "--yes")
    return home / "data"


@pytest.fixture
def shell(applied: Path, tmp_path: Path) -> Shell:
    """A data directory of its own, and no server."""
    shutil.copytree(applied, tmp_path / "data", ignore=shutil.ignore_patterns("*.sock"))
    return Shell(data=tmp_path / "data", home=tmp_path)


@pytest.fixture(scope="module")
def served(applied: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A server that runs beside the commands."""
    home = tmp_path_factory.mktemp("served")
    shutil.copytree(applied, home / "data", ignore=shutil.ignore_patterns("*.sock"))
    shell = Shell(data=home / "data", home=home)
    server = shell.start("serve")
    wait_until(lambda: (shell.data / "control.sock").exists() or server.poll() is not None)
    assert server.poll() is None, server.communicate()
    yield shell
    server.send_signal(signal.SIGTERM)
    server.communicate(timeout=30)


def python(code: str) -> list[str]:
    return ["--", sys.executable, "-c", code]


def wait_until(done: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


PROBE = """
import json, os, urllib.request, urllib.error
def ask(url, method="POST", **headers):
    data = b'{}' if method == "POST" else None
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
urls = {name: value for name, value in os.environ.items() if name.endswith(("_URL", "_ENDPOINT"))}
base = urls["INTERLOCK_MCP_URL"]
host, _, rest = base.removeprefix("http://").partition("/")
print(json.dumps({
    "environ": dict(os.environ),
    "models": [ask(urls["OPENAI_BASE_URL"] + "/chat/completions"),
               ask(urls["ANTHROPIC_BASE_URL"] + "/v1/messages"),
               ask(urls["OPENAI_BASE_URL"] + "/responses",
                   **{"Content-Type": "application/json", "Content-Encoding": "gzip"}),
               ask(urls["OTEL_EXPORTER_OTLP_ENDPOINT"] + "/v1/traces")],
    "guessed": [ask(f"http://{host}/mcp"), ask(f"http://{host}/guess/mcp"),
                ask(base + "/../api/v1/agents", "GET"), ask(base + "/%2e%2e/api/v1/agents", "GET"),
                ask(base + "/%2e%2e%2fapi/v1/me", "GET"), ask(base + "x", "GET"),
                ask(base.removesuffix("/mcp") + "/api/v1/agents", "GET"),
                ask(urls["INTERLOCK_RUN_URL"] + "/api/v1/agents", "GET"),
                ask(urls["INTERLOCK_RUN_URL"] + "/api/v1/actions/act_1", "GET"),
                ask(urls["INTERLOCK_RUN_URL"] + "/api/v1/actions/../agents", "GET")],
}))
raise SystemExit(7)
"""


def test_the_program_sees_loopback_and_no_secret_and_its_exit_code_is_passed_on(shell: Shell) -> None:
    secret = "ilk_a-secret-that-must-not-leak"
    real = json.loads((shell.data / "credentials.json").read_text())["token"]
    process = shell.start(
        "run", "errands", "--quiet", *python(PROBE), INTERLOCK_TOKEN=real, SAFE="kept",
        OPENAI_API_KEY="sk-real", INTERLOCK_EXTRA=secret,
    )  # fmt: skip
    out, err = process.communicate(timeout=60)
    assert process.returncode == 7, err
    seen = json.loads(out)
    environ = seen["environ"]
    assert environ["SAFE"] == "kept"
    ours = {name for name in environ if name.startswith("INTERLOCK_")}
    assert ours == {"INTERLOCK_MCP_URL", "INTERLOCK_RUN_URL"}
    assert environ["MCP_SERVER_URL"].startswith("http://127.0.0.1:")
    for value in environ.values():
        assert secret not in value
        assert real not in value
        assert "sk-real" not in value
        assert "eyJ" not in value
    assert seen["models"] == [415, 415, 415, 501]
    assert seen["guessed"] == [404] * len(seen["guessed"])
    (warned,) = err.splitlines()
    assert warned.startswith("interlock: INTERLOCK_EXTRA is not a setting")
    (run,) = shell.runs()
    assert (run["state"], run["reason"], run["started_by"]) == ("closed", "exit code 7", "maria")


LISTS = """
import json, os, urllib.request
body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}).encode()
headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
request = urllib.request.Request(os.environ["MCP_SERVER_URL"], body, headers)
try:
    urllib.request.urlopen(request).read()
except urllib.error.HTTPError:
    pass
"""


@pytest.mark.parametrize(
    ("program", "ungoverned"), [("pass", True), ("raise SystemExit(4)", True), (LISTS, False)]
)
def test_a_program_that_goes_past_the_gateway_is_said_loudly_and_recorded(
    served: Shell, program: str, ungoverned: bool
) -> None:
    process = served.start("run", "errands", *python(program))
    _, err = process.communicate(timeout=60)
    assert process.returncode == (4 if "4" in program else 0)
    assert ("NOTHING OF THIS PROGRAM WAS GOVERNED" in err) == ungoverned
    run = served.runs()[0]
    assert run["ungoverned"] is ungoverned
    assert ("no request of the program reached" in served.run("runs", "show", run["id"])) == ungoverned
    (end,) = served.json("audit", "list", "--run", run["id"], "--kind", "run.ended")["items"]
    assert end["body"]["ungoverned"] is ungoverned


def test_a_program_that_did_not_start_is_not_said_to_be_ungoverned(served: Shell) -> None:
    ended = json.loads(served.run("run", "errands", "--json", "--", "/no/such/program", code=127))
    assert ended["ungoverned"] is False
    assert served.runs()[0]["ungoverned"] is False


MODELS = """
import json, os
print(json.dumps({name: os.environ.get(name) for name in
    ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "MCP_SERVER_URL")}))
"""


def test_a_run_whose_model_calls_are_not_governed_says_so_wherever_it_is_shown(shell: Shell) -> None:
    process = shell.start(
        "run", "errands", "--direct-models", *python(MODELS),
        OPENAI_BASE_URL="http://models.example/v1", OPENAI_API_KEY="sk-own",
    )  # fmt: skip
    out, err = process.communicate(timeout=60)
    seen = json.loads(out)
    assert seen.pop("MCP_SERVER_URL").startswith("http://127.0.0.1:")
    assert seen == {
        "OPENAI_BASE_URL": "http://models.example/v1",
        "OPENAI_API_KEY": "sk-own",
        "ANTHROPIC_BASE_URL": None,
        "ANTHROPIC_API_KEY": None,
    }
    assert "model calls of this run go to the provider directly and are not governed" in err
    run = shell.runs()[0]
    assert run["direct_models"] is True
    assert "its model calls are not governed" in shell.run("runs", "show", run["id"])
    (opened,) = shell.json("audit", "list", "--run", run["id"], "--kind", "run.opened")["items"]
    assert opened["body"]["direct_models"] is True


def test_it_works_beside_a_server_and_says_how_it_ended(served: Shell) -> None:
    run = served.ended("--", sys.executable, "-c", "pass")
    assert (run["state"], run["reason"], run["workflow"]) == ("closed", "exit code 0", "errands@1")


def test_an_agents_own_key_starts_it_without_a_person(served: Shell) -> None:
    key = served.home / "bot.key"
    served.run("agents", "enroll", "bot", "--new-key", str(key))
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    (served.data / "credentials.json").rename(served.home / "away.json")
    try:
        ended = served.json("run", "errands", "--agent-key", str(key), *python("pass"))
        served.run("run", "errands", *python("pass"), code=3)
    finally:
        (served.home / "away.json").rename(served.data / "credentials.json")
    assert served.json("runs", "show", ended["run"])["started_by"] == "agent:bot"
    key.chmod(0o644)
    served.run("run", "errands", "--agent-key", str(key), *python("pass"), code=2)


def test_a_program_that_is_killed_ends_its_run(shell: Shell) -> None:
    shell.run("run", "errands", *python("import os; os.kill(os.getpid(), 9)"), code=137)
    shell.run("run", "errands", "--", "/no/such/program", code=127)
    shell.run("run", "nothing", *python("pass"), code=2)
    assert [run["reason"] for run in shell.runs()] == [
        "there is no program /no/such/program",
        "killed by signal 9",
    ]


SLEEPER = """
import os, signal, time
def stop(number, frame):
    os.write(1, f"stopped {number}".encode())
    os._exit(5)
signal.signal(signal.SIGINT, stop)
signal.signal(signal.SIGTERM, stop)
print(os.getpid(), flush=True)
time.sleep(60)
"""


WAITER = """
import os, time
while not os.path.exists(os.environ["ENOUGH"]):
    time.sleep(0.1)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_reach_the_program_and_the_run_ends_cleanly(shell: Shell, number: signal.Signals) -> None:
    process = replace(shell, python=REAL).start("run", "errands", *python(SLEEPER))
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 5, err
    assert out == f"stopped {int(number)}"
    (run,) = shell.runs()
    assert (run["state"], run["reason"]) == ("closed", "exit code 5")


@pytest.mark.long(11)
def test_a_run_is_renewed_while_its_launcher_lives_and_ended_when_it_was_killed(served: Shell) -> None:
    doomed = replace(served, python=REAL).start("run", "errands", "--token-life", "10", *python(SLEEPER))
    enough = served.home / "enough"
    living = served.start(
        "run", "errands", "--json", "--token-life", "10", *python(WAITER), ENOUGH=str(enough)
    )
    assert doomed.stdout is not None
    child = int(doomed.stdout.readline())
    doomed.kill()
    doomed.wait(timeout=60)
    os.kill(child, signal.SIGTERM)
    doomed.communicate(timeout=60)

    def renewed_twice() -> bool:
        issued = served.json("audit", "list", "--kind", "token.issued")["items"]
        return max(Counter(each["run"] for each in issued).values()) >= 3

    wait_until(renewed_twice, seconds=60)
    enough.touch()
    out, err = living.communicate(timeout=60)
    assert living.returncode == 0, err
    lived = served.json("runs", "show", json.loads(out)["run"])
    assert lived["reason"] == "exit code 0"
    wait_until(lambda: "launcher is gone" in str(served.runs()))
    killed = next(run for run in served.runs() if "launcher is gone" in run["reason"])
    assert killed["state"] == "ended"


def test_people_sign_in_and_keys_rotate_on_the_command_line(served: Shell) -> None:
    password = "correct horse battery"
    made = subprocess.run(
        [*INTERLOCK, "token", "passwd", "--person", "maria", "--password-stdin"],
        input=password, env=served.environ(), text=True, check=False, capture_output=True,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    before = served.data / "credentials.json"
    before.rename(served.home / "before.json")
    signed_in = subprocess.run(
        [*INTERLOCK, "token", "login", "--person", "maria", "--password-stdin"],
        input=password, env=served.environ(), text=True, check=False, capture_output=True,
    )  # fmt: skip
    assert signed_in.returncode == 0, signed_in.stderr
    assert served.json("agents", "list")["items"][0]["name"] == "bot"
    narrow = served.json("token", "create", "--role", "developer", "--label", "ci")
    served.run("token", "rotate-keys", code=1, INTERLOCK_TOKEN=narrow["token"])
    rotated = served.json("token", "rotate-keys", "--publish-ahead", "60")
    assert [each["state"] for each in rotated["keys"]] == ["signs", "published"]
    served.run("token", "revoke", narrow["id"])
    served.run("agents", "list", code=3, INTERLOCK_TOKEN=narrow["token"])
    assert password not in served.run("audit", "list", "--json")
    retired = served.json("agents", "retire", "leaver", "--reason", "the tests are over")
    assert retired["state"] == "retired"
    served.run("run", "farewell", *python("pass"), code=2)
