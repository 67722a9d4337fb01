"""Prices on the command line: a newer list is shown, then taken by an administrator, and no other (B8)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

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


PUBLISHED = [
    {
        "id": "openai",
        "name": "OpenAI",
        "api_pattern": r"https://api\.openai\.com",
        "models": [
            {"id": "gpt-6", "match": {"starts_with": "gpt-6"}, "prices": {"input_mtok": 2, "output_mtok": 9}}
        ],
    }
]


class Publisher(BaseHTTPRequestHandler):
    """Where the newest price list is."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(PUBLISHED).encode())

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture(scope="module")
def published() -> Iterator[str]:
    """The URL of the newest price list."""
    with HTTPServer(("127.0.0.1", 0), Publisher) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/data.json"
        server.shutdown()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, published: str) -> Iterator[Served]:
    """A server whose price list says something old of one model."""
    data = tmp_path_factory.mktemp("prices") / "data"
    with served(data, SHOP + OPENAI, INTERLOCK_PRICES_URL=published) as found:
        found.api("prices")
        make_old(data)
        yield found


def make_old(data: Path) -> None:
    """Change a price of the list in force, as if an older list had been imported."""
    with closing(sqlite3.connect(data / "control.db", timeout=30)) as database, database:
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
            timeout=30,
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


def test_the_published_list_is_fetched_when_an_administrator_asks_for_it(server: Served) -> None:
    found = server.json("prices", "diff", "--latest")
    assert found["source"].startswith("genai-prices at 127.0.0.1:")
    (new,) = [each for each in found["changes"] if each["kind"] == "added"]
    assert (new["model"], new["names"]) == ("gpt-6", {"starts_with": "gpt-6"})
    assert {"what": "rates.input", "before": None, "after": 2_000_000} in new["details"]
