"""Runs what a document shows: console blocks as one shell session, files and Python blocks beside it.

How a document says what it means:

- A `console` block holds commands after `$ ` and, below each, what it prints. Every page is one bash session
  in a folder of its own, so `cd`, `export` and `&` mean what they mean. A line `...` stands for any lines,
  `…` inside a line for any text, and `[exit 1]` for the exit code of a command that is meant to fail.
- A block after `<!-- file: NAME -->` is written to that file before the next command runs.
- A `python` block without a file is run by itself.
- A block after `<!-- not run: REASON -->` is only shown; `<!-- page not run: REASON -->` says it of a page.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from support.warm import folder_of_commands

_BLOCK = re.compile(
    r"(?:^<!-- (?P<note>[^\n]*?) -->\n+)?^```(?P<language>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)
_PAGE = re.compile(r"^<!-- page (not run: .*?) -->$", re.MULTILINE)
_EXIT = re.compile(r"\[exit (\d+)\]")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block, with what the comment before it says."""

    language: str
    body: str
    note: str

    @property
    def file(self) -> str | None:
        """The file that this block is the content of."""
        return self.note.removeprefix("file: ") if self.note.startswith("file: ") else None

    @property
    def shown_only(self) -> bool:
        """Whether the document gives a reason not to run it."""
        return self.note.startswith("not run: ")


@dataclass(slots=True)
class Command:
    """One command of a console block and what the document says about it."""

    text: str
    expected: list[str] = field(default_factory=list[str])
    status: int = 0


def blocks(path: Path) -> list[Block]:
    """Return the fenced blocks of a Markdown file."""
    text = path.read_text(encoding="utf-8")
    page = _PAGE.search(text)
    return [
        Block(language=each["language"], body=each["body"], note=page[1] if page else each["note"] or "")
        for each in _BLOCK.finditer(text)
    ]


def invocations(page: list[Block]) -> Iterator[list[str]]:
    """Yield the words of every `interlock` command that the page shows, run or not, up to a pipe or `--`."""
    for block in page:
        for command in commands(block.body) if block.language == "console" else ():
            lexer = shlex.shlex(command.text, posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            words: list[str] | None = None
            for word in lexer:
                if words is not None and (set(word) <= set("|&;<>()") or word == "--"):
                    yield words
                    words = None
                elif words is not None:
                    words.append(word)
                elif word == "interlock":
                    words = []
            if words is not None:
                yield words


def commands(body: str) -> Iterator[Command]:
    """Yield the commands of a console block."""
    current: Command | None = None
    for line in body.splitlines():
        if line.startswith("$ "):
            if current is not None:
                yield current
            current = Command(line[2:])
        elif current is not None and (status := _EXIT.fullmatch(line.strip())):
            current.status = int(status[1])
        elif current is not None and current.text.endswith("\\"):
            current.text += f"\n{line}"
        elif current is not None:
            current.expected.append(line)
    if current is not None:
        yield current


def matches(expected: list[str], printed: list[str]) -> bool:
    """Whether the printed lines are the expected ones, given `...` and `…`; blanks do not count."""
    if not expected:
        return not printed
    head, *rest = expected
    if head.strip() == "...":
        return any(matches(rest, printed[skip:]) for skip in range(len(printed) + 1))
    return bool(printed) and _line_matches(head, printed[0]) and matches(rest, printed[1:])


def _line_matches(expected: str, printed: str) -> bool:
    pattern = ".*".join(re.escape(" ".join(part.split())) for part in expected.split("…"))
    return re.fullmatch(pattern, " ".join(printed.split())) is not None


def script(page: list[Block], folder: Path) -> tuple[str, list[Command]]:
    """Return the bash script that plays a page in `folder`, and its commands in order.

    Output and exit code of command N go to `N.out` and `N.code` in `folder/.played`.
    """
    lines = ["set +e", f"cd {shlex.quote(str(folder))}"]
    played: list[Command] = []
    for block in page:
        if block.shown_only:
            continue
        if block.file is not None:
            lines.append(f"mkdir -p $(dirname {block.file})")
            lines.append(f"cat > {block.file} <<'END_OF_FILE'\n{block.body}END_OF_FILE")
        elif block.language == "console":
            for command in commands(block.body):
                record = shlex.quote(str(folder / ".played" / str(len(played))))
                lines.append(
                    f"{{\n{command.text}\n}} > {record}.out 2>&1 < /dev/null; echo $? > {record}.code"
                )
                played.append(command)
    lines.append("kill $(jobs -p) 2>/dev/null; wait 2>/dev/null; exit 0")
    return "\n".join(lines), played


def play(path: Path, folder: Path, *, timeout: float = 100, **known: str) -> list[str]:
    """Run a document in `folder`, with `known` in its environment; return what was not as it says."""
    page = blocks(path)
    (folder / ".played").mkdir(parents=True)
    text, played = script(page, folder)
    _session(text, folder, timeout, known)
    problems = [problem for number, each in enumerate(played) for problem in _judge(folder, number, each)]
    for block in page:
        if block.language == "python" and block.file is None and not block.shown_only:
            problems += _python(block.body, folder)
    return problems


def _session(text: str, folder: Path, timeout: float, known: Mapping[str, str]) -> None:
    """Run the script in a process group of its own, and leave nothing of it behind."""
    around = {**environment(folder), **known}
    with subprocess.Popen(["bash", "-c", text], env=around, start_new_session=True) as session:
        try:
            session.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(session.pid, signal.SIGKILL)
            raise AssertionError(f"the page did not end within {timeout:.0f} s") from None


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a newcomer: the command on the path, nothing set."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("INTERLOCK_")}
    binaries = (str(folder_of_commands()), str(Path(sys.executable).parent), kept.get("PATH", ""))
    return kept | {
        "PATH": os.pathsep.join(binaries),
        "HOME": str(folder),
        "INTERLOCK_PORT": "0",
        "NO_COLOR": "1",
        "COLUMNS": "200",
    }


def _judge(folder: Path, number: int, command: Command) -> list[str]:
    record = folder / ".played" / str(number)
    printed = record.with_suffix(".out").read_text(encoding="utf-8").rstrip().splitlines()
    status = int(record.with_suffix(".code").read_text())
    shown = "\n".join(printed)
    if status != command.status:
        return [f"$ {command.text}\nended with {status}, not {command.status}:\n{shown}"]
    expected = [line for line in command.expected if line.strip()]
    if expected and not matches(expected, [line for line in printed if line.strip()]):
        return [f"$ {command.text}\nprinted\n{shown}\nnot\n" + "\n".join(command.expected)]
    return []


def _python(body: str, folder: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", body],
        env=environment(folder),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return [f"{body}\nfailed:\n{done.stderr}"] if done.returncode else []
