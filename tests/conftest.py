"""What every test shares: no settings of ours leak in from outside, and how hard properties are tried.

`--hypothesis-profile=long` tries every property that names no number of its own a thousand times.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from interlock.settings import PREFIX

pytest_plugins = ["support.stores"]

# How long an example takes says how busy the machine is, not whether the property holds.
settings.register_profile("default", deadline=None)
settings.register_profile("long", deadline=None, max_examples=1000)
settings.load_profile("default")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.startswith(PREFIX)]:
        monkeypatch.delenv(name)
