"""What every test shares: no settings of ours leak in from outside, and how hard properties are tried.

`--hypothesis-profile=long` tries every property that names no number of its own a thousand times.
"""

from __future__ import annotations

import gc
import os
import signal
import sys

import pytest
from hypothesis import settings

from interlock.settings import PREFIX
from support.warm import Loader

pytest_plugins = ["support.order", "support.stores", "support.proxies"]

# How long an example takes says how busy the machine is, not whether the property holds.
settings.register_profile("default", deadline=None)
settings.register_profile("long", deadline=None, max_examples=1000)
settings.load_profile("default")

# Hundreds of processes of ours start: what they import is compiled once, whatever the shell says.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell that starts the tests in the background has them ignore SIGINT, and so would what they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The tests of the suite are a heap that stays: to look through it again and again took a quarter of the time.
gc.set_threshold(50_000, 20, 100)


_STARTERS = ("docs", "e2e", "integration")
"""The folders of tests that start programs."""
_loaders: list[Loader] = []


def pytest_collection_finish(session: pytest.Session) -> None:
    """Spare what is loaded from garbage collection, and load what programs need while the first tests run."""
    gc.collect()
    gc.freeze()
    starts = any(each.path.parent.name in _STARTERS for each in session.items)
    if starts and not session.config.option.collectonly:
        _loaders.append(Loader())


def pytest_sessionfinish() -> None:
    """Leave no process behind."""
    for each in _loaders:
        each.stop()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.startswith(PREFIX)]:
        monkeypatch.delenv(name)
