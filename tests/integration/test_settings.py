"""Settings come from the environment by name, and a value that cannot be read says which and why."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from interlock.errors import UsageError
from interlock.runtime import Runtime
from interlock.settings import environment_with, load
from interlock.store.database import Store


def test_settings_are_read_by_name_and_options_win() -> None:
    read = load({"INTERLOCK_PORT": "9", "INTERLOCK_DATA": "/tmp/x", "INTERLOCK_SELF_APPROVE": "yes"}, port=10)
    assert (read.port, read.data, read.self_approve) == (10, Path("/tmp/x"), True)


def test_an_empty_variable_is_not_a_value() -> None:
    assert load({"INTERLOCK_PORT": ""}).port == 7411


@pytest.mark.parametrize(("name", "raw"), [("INTERLOCK_PORT", "abc"), ("INTERLOCK_SELF_APPROVE", "perhaps")])
def test_a_value_that_cannot_be_read_names_its_variable(name: str, raw: str) -> None:
    with pytest.raises(UsageError, match=f"{name} must be"):
        load({name: raw})


def test_a_child_is_given_its_own_settings_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERLOCK_TOKEN", "ilk_mine")
    given = environment_with(data="/tmp/y", port=0)
    assert {name for name in given if name.startswith("INTERLOCK_")} == {"INTERLOCK_DATA", "INTERLOCK_PORT"}


def test_a_data_directory_that_lies_deep_has_its_socket_where_the_path_fits(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    assert len(str(load({}, data=deep).socket)) <= 100
    assert load({}, data=Path("/x")).socket == Path("/x/control.sock")


def test_a_data_directory_belongs_to_one_environment_for_good(tmp_path: Path) -> None:
    data = tmp_path / "data"

    async def open_as(environment: str) -> None:
        store = Store.open(load({}, data=data, environment=environment), Runtime.real())
        await store.close()

    asyncio.run(open_as("production"))
    with pytest.raises(UsageError, match="is of the environment 'production', not of 'dev'"):
        asyncio.run(open_as("dev"))
    asyncio.run(open_as("production"))
