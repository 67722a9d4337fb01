"""What the documents show is what happens: commands, outputs, files and links."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from docs.generate import commands as all_commands
from typer.core import TyperCommand
from typer.main import get_command

from docs.documents import blocks, commands, invocations, matches, play
from interlock.cli.main import assemble

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    page
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if any(each.language in {"console", "python"} and not each.shown_only for each in blocks(page))
)
ALL_PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
_LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:|#)([^)#\s]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda each: each.relative_to(ROOT).as_posix())
def test_every_command_of_the_page_does_what_the_page_shows(
    page: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    needs_server = "$DATABASE_URL" in page.read_text(encoding="utf-8")
    url = request.getfixturevalue("postgres_url") if needs_server else ""
    problems = play(page, tmp_path, DATABASE_URL=url)
    assert not problems, "\n\n".join(problems)


@cache
def known_commands() -> dict[tuple[str, ...], TyperCommand]:
    """Return every command by its words."""
    return {path[1:]: each for path, each in all_commands(get_command(assemble()), ("interlock",))}


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda each: each.relative_to(ROOT).as_posix())
def test_every_command_that_the_page_shows_exists_with_its_options(page: Path) -> None:
    known = known_commands()
    for words in invocations(blocks(page)):
        command = next((known[tuple(words[:n])] for n in (2, 1) if tuple(words[:n]) in known), None)
        assert command is not None or words[:1] == ["--version"], f"there is no interlock {' '.join(words)}"
        options = (
            {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
            if command
            else {"--version"}
        )
        shown = {word.partition("=")[0] for word in words if word.startswith("-") and len(word) > 1}
        assert shown <= {*options, "--help", "--version"}, f"interlock {' '.join(words)}"


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda each: each.relative_to(ROOT).as_posix())
def test_every_link_of_the_page_leads_somewhere(page: Path) -> None:
    targets = _LINK.findall(re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL))
    assert not [each for each in targets if not (page.parent / each).exists()]


def test_every_page_is_in_the_index() -> None:
    listed = (ROOT / "docs" / "README.md").read_text() + (ROOT / "docs" / "adr" / "README.md").read_text()
    pages = {each for each in (ROOT / "docs").rglob("*.md") if each.name != "README.md"}
    assert not [each.name for each in pages if f"{each.name})" not in listed]


def test_the_make_verbs_of_the_documents_exist() -> None:
    verbs = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        assert set(re.findall(r"`make (\w+)`|^make (\w+)", page.read_text(), re.MULTILINE)) <= {
            pair for verb in verbs for pair in ((verb, ""), ("", verb))
        }, page


def test_the_runner_reads_commands_outputs_and_exit_codes() -> None:
    body = "$ one \\\n  more\nprinted\n$ two\n[exit 3]\n"
    first, second = commands(body)
    assert (first.text, first.expected, first.status) == ("one \\\n  more", ["printed"], 0)
    assert (second.text, second.expected, second.status) == ("two", [], 3)


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        (["a"], ["a"], True),
        (["a"], ["b"], False),
        (["a"], ["a", "b"], False),
        (["a", "..."], ["a", "b", "c"], True),
        (["...", "c"], ["a", "b", "c"], True),
        (["...", "d"], ["a", "b", "c"], False),
        (["id …"], ["id   act_1"], True),
        (["id … end"], ["id act_1   end"], True),
        (["id …"], ["no act_1"], False),
    ],
)
def test_the_runner_compares_what_is_printed_with_what_is_shown(
    expected: list[str], printed: list[str], same: bool
) -> None:
    assert matches(expected, printed) is same


def test_a_page_that_is_not_true_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- file: a/b.txt -->\n```text\nhello\n```\n\n"
        "```console\n$ cat a/b.txt\nhello\n$ echo one\ntwo\n$ false\n```\n\n"
        "```python\nraise SystemExit(1)\n```\n\n<!-- not run: never -->\n```console\n$ exit 9\n```\n"
    )
    problems = play(page, tmp_path / "played")
    assert [each.splitlines()[0] for each in problems] == ["$ echo one", "$ false", "raise SystemExit(1)"]
