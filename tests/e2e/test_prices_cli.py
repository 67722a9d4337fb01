"""Prices on the command line: a newer list is shown, then taken by an administrator, and no other (B8)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from support.served import SHOP, Served, served

OPENAI = """---
apiVersion: interlock/v1
kind: Provider
metadata: {name: openai}
spec:
  base_url: http://127.0.0.1:9/v1
  wire_format: openai
  models: [{name: gpt-5.4}, {name: ours, price: {input: 0.10, output: 0.20}}]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose price list says something old of one model."""
    data = tmp_path_factory.mktemp("prices") / "data"
    with served(data, SHOP + OPENAI) as found:
        found.api("prices")
        make_old(data)
        yield found


def make_old(data: Path) -> None:
    """Change a price of the list in force, as if an older list had been imported."""
    with sqlite3.connect(data / "control.db", timeout=30) as database:
        (body,) = database.execute(
            "SELECT body FROM prices WHERE model = 'gpt-5.4-mini' AND provider = 'openai'"
        )
        listing = json.loads(body[0])
        listing["prices"][-1]["rates"]["input"] = 500_000
        database.execute(
            "UPDATE prices SET body = ? WHERE model = 'gpt-5.4-mini' AND provider = 'openai'",
            [json.dumps(listing)],
        )


def test_a_newer_list_is_shown_then_taken_and_the_old_price_stays_readable(server: Served) -> None:
    shown = server.cli("prices", "diff")
    assert "openai/gpt-5.4-mini" in shown.stdout
    assert "1.rates.input: $0.5 -> $0.75" in shown.stdout
    done = server.json("prices", "update")
    assert (done["version"], done["taken_by"], len(done["changes"])) == (2, "maria", 1)
    assert server.api("prices/offer")["changes"] == []
    found = server.api("prices/openai/versions?model=gpt-5.4-mini")["items"]
    assert [each["label"] for each in found] == [
        "openai/gpt-5.4-mini@2",
        "openai/gpt-5.4-mini@2",
        "openai/gpt-5.4-mini@1",
        "openai/gpt-5.4-mini@1",
    ]
    assert [each["rates"]["input"] for each in found] == [750_000, 750_000, 500_000, 750_000]


def test_a_list_that_was_not_shown_is_not_taken_and_only_an_administrator_takes_one(server: Served) -> None:
    narrow = server.json("token", "create", "--role", "approver")["token"]
    answers = [
        httpx2.post(
            f"{server.url}/api/v1/prices/update",
            json={"digest": "another"},
            headers={"Authorization": f"Bearer {secret}"},
        )
        for secret in (server.person(), narrow)
    ]
    assert [each.status_code for each in answers] == [409, 403]


def test_prices_of_the_manifest_stand_beside_those_of_the_list(server: Served) -> None:
    (ours,) = server.api("prices?model=ours&provider=openai")["items"]
    assert (ours["label"], ours["source"]) == ("openai/ours@manifest-1", "manifest")
    listed = server.cli("prices", "list", "--provider", "openai", "--model", "gpt-5.4", "--limit", "2")
    assert "There are more" in listed.stderr
    assert "openai/gpt-5.4-image-2@1" in listed.stdout
