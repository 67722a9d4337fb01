"""What a real model needs. These tests run where they are asked for by name, as `make test-live` does."""

from __future__ import annotations

from pathlib import Path

import pytest

_HERE = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave these tests out where the whole suite is run: their model is compiled first."""
    asked = (config.invocation_params.dir / each.partition("::")[0] for each in config.args)
    if collection_path.is_relative_to(_HERE) and not any(each.is_relative_to(_HERE) for each in asked):
        return True
    return None
