"""The reference is complete and current: every setting, error and command, as the code declares them."""

from __future__ import annotations

import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from docs.generate import commands, pages
from typer.main import get_command

from interlock.cli.examples import examples
from interlock.cli.main import assemble
from interlock.settings import PREFIX, Settings

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
COMMAND: Any = get_command(assemble())
PAGES = pages()


@pytest.mark.parametrize("path", sorted(PAGES), ids=lambda each: each.name)
def test_a_generated_page_is_current(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == PAGES[path], "run: make docs"


def test_every_setting_is_documented() -> None:
    page = (REFERENCE / "settings.md").read_text()
    for each in fields(Settings):
        assert each.metadata.get("help"), each.name
        assert f"`{PREFIX}{each.name.upper()}`" in page


@pytest.mark.parametrize(
    "command",
    [pytest.param(each, id=" ".join(path)) for path, each in commands(COMMAND, ("interlock",))],
)
def test_every_command_and_option_explains_itself(command: Any) -> None:
    assert command.epilog, "give it an example in cli/examples.py"
    assert command.help
    for each in command.params:
        if each.param_type_name == "option" and not each.hidden and "--help" not in each.opts:
            assert each.help, each.name


@pytest.mark.parametrize("line", examples().values())
def test_every_example_is_a_command_with_the_options_that_it_has(line: str) -> None:
    words = shlex.split(line.partition(" > ")[0])[1:]
    command = COMMAND
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    with command.make_context("interlock", words):
        pass
