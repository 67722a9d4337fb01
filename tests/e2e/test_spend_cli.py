"""Who spent what, and what the provider billed, on the command line (B1, B8)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx2
import pytest
import sqlalchemy as sa

from interlock.core.model import DAY, SECOND
from interlock.store import model_calls
from support.ledger import MONDAY, a_row
from support.served import SHOP, Served, served, workflow

AT = {"started_at": 20_000 * DAY, "ended_at": 20_000 * DAY + SECOND}
NEXT = {"started_at": 20_001 * DAY, "ended_at": 20_001 * DAY + SECOND}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose ledger has a few calls."""
    with served(tmp_path_factory.mktemp("spend") / "data", SHOP + workflow()) as found:
        engine = sa.create_engine(f"sqlite:///{found.data / 'control.db'}", connect_args={"timeout": 30})
        rows = [
            a_row(cost=1_500_000_001, input_uncached=25, cache_read=75, output=10, customer="acme", **AT),
            a_row(cost=500_000_000, usage_source="estimated", customer="=HYPERLINK(evil)", **AT),
            a_row(cost=2_000_000_001, usage_source="estimated", **NEXT),
            a_row(cost=1, started_at=MONDAY, ended_at=MONDAY),
        ]
        with engine.begin() as connection:
            model_calls.insert(connection, rows)
        engine.dispose()
        yield found


def test_a_report_is_a_table_or_csv_in_which_no_text_is_a_formula(server: Served) -> None:
    asked = (
        "budget",
        "report",
        "--by",
        "workflow,customer",
        "--since",
        "2024-10-04",
        "--until",
        "2024-10-05",
    )
    shown = server.cli(*asked).stdout
    assert "$1.5001" in shown
    assert "75.0 %" in shown
    assert "1 uncertain" in shown
    assert "$2.0001 in 2 calls" in shown
    first, second = csv.DictReader(io.StringIO(server.cli(*asked, "--csv").stdout))
    assert (first["customer"], first["cost_usd"], first["cached"]) == ("acme", "1.500000001", "75")
    assert (second["customer"], second["uncertain"]) == ("'=HYPERLINK(evil)", "1")
    wrong = server.cli("budget", "report", "--by", "weather")
    assert wrong.returncode == 2
    assert "weather" in wrong.stderr
    assert server.api("spend?since=2024-10-04&until=2024-10-05&customer=acme")["total"]["calls"] == 1
    unknown = httpx2.get(
        f"{server.url}/api/v1/spend?weather=fine", headers={"Authorization": f"Bearer {server.person()}"}
    )
    assert unknown.status_code == 400


def test_a_bill_is_compared_then_booked(server: Served) -> None:
    bill = server.data.parent / "bill.csv"
    bill.write_text("date,model,cost_usd\n2024-10-05,gpt-5,2.25\n")
    compared = server.cli("budget", "reconcile", str(bill))
    assert compared.returncode == 1
    assert "+$0.2500" in compared.stdout
    today = server.data.parent / "today.csv"
    today.write_text(f"date,model,cost_usd\n{datetime.now(UTC):%Y-%m-%d},gpt-5,1\n")
    unjudged = server.cli("budget", "reconcile", str(today), "--provider", "openai")
    assert (unjudged.returncode, "the day is not over" in unjudged.stdout) == (0, True)
    assert "agrees" not in unjudged.stdout
    assert "nothing to book: 1 line cannot be judged" in unjudged.stdout
    booked = server.json("budget", "reconcile", str(bill), "--apply")
    assert (booked["provider"], booked["booked"], booked["items"][0]["owed"]) == ("openai", 1, 249_999_999)
    again = server.api("spend?by=kind&since=2024-10-05&until=2024-10-06")
    assert {each["kind"]: each["cost"] for each in again["items"]} == {
        "model": 2_000_000_001,
        "correction": 249_999_999,
    }
    assert again["total"]["cost"] == 2_250_000_000


def test_the_calls_of_a_run_name_their_providers_where_there_were_several(server: Served) -> None:
    server.token("work")
    run = server.api("runs")["items"][0]["id"]
    ours = {"run": run, "root_run": run, "workflow": "work"}
    engine = sa.create_engine(f"sqlite:///{server.data / 'control.db'}", connect_args={"timeout": 30})
    with engine.begin() as connection:
        tool = a_row(
            kind="tool", provider="web", requested_model="web.search", served_model="web.search", **ours
        )
        model_calls.insert(connection, [a_row(**ours), tool])
    assert "openai/" not in server.cli("budget", "explain", run).stdout
    with engine.begin() as connection:
        model_calls.insert(connection, [a_row(provider="azure", **ours)])
    engine.dispose()
    shown = server.cli("budget", "explain", run).stdout
    assert "openai/gpt-5" in shown
    assert "azure/gpt-5" in shown
    assert "web/" not in shown
