"""A program that goes on and on is alerted about, degraded, and halted with an incident (B3, B4, B5)."""

from __future__ import annotations

from pathlib import Path

import httpx2

from support.models import OPENAI_MODEL, governed
from support.served import until

ENOUGH = 60


def test_a_loop_of_model_calls_is_halted_at_its_kill_ceiling_and_somebody_is_paged(tmp_path: Path) -> None:
    with governed(tmp_path / "d", workflow="budget: {run: 0.0008}") as world:
        body = {
            "model": OPENAI_MODEL,
            "messages": [{"role": "user", "content": "again"}],
            "max_completion_tokens": 16,
        }
        said: list[int] = []
        with httpx2.Client(base_url=world.server.url, headers=world.headers, timeout=30) as client:
            while len(said) < ENOUGH and (not said or said[-1] == 200):
                said.append(client.post("/v1/chat/completions", json=body).status_code)
        assert said.count(200) > 3, said
        assert said[-1] == 402, said
        (kill,) = until(lambda: world.server.api("kills")["items"])
        until(lambda: world.server.api(f"runs/{kill['subject'].removeprefix('run:')}")["state"] == "ended")
        later = httpx2.post(
            f"{world.server.url}/v1/chat/completions", json=body, headers=world.headers, timeout=30
        )
        assert (later.status_code, later.headers["x-should-retry"]) == (402, "false"), later.text
        assert later.json()["error"]["code"] == "run_halted"
        assert later.json()["error"]["interlock"]["link"].endswith(f"/api/v1/kills/{kill['id']}"), later.text
        assert (kill["source"], kill["level"], kill["subject"][:4]) == ("budget", "stop", "run:")
        (incident,) = world.server.api("incidents")["items"]
        assert incident["id"] == kill["incident"]
        kinds = [each["kind"] for each in world.server.api("alerts")["items"]]
        assert sorted(kinds) == ["breaker.opened", "budget.hard", "budget.kill", "budget.soft"]
        (opened,) = world.server.api("breakers")["items"]
        assert (opened["state"], opened["cause"]) == ("open", "run_cost")
        assert (opened["incident"], f"run:{opened['run']}") == (incident["id"], kill["subject"])
        run = world.server.api(f"runs/{kill['subject'].removeprefix('run:')}")
        assert run["state"] == "ended"
