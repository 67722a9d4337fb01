"""What every test shares: our own settings never leak in from the environment."""

from __future__ import annotations

import os

import pytest

from interlock.settings import PREFIX


pytest_plugins = ["support.stores"]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.startswith(PREFIX)]:
        monkeypatch.delenv(name)
