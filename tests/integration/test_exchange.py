"""Token exchange is the only way to a run token; what is presented is spent, nothing widens (H1, H2)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from interlock.core.model import SECOND
from interlock.errors import TokenInvalid
from interlock.services.exchange import Proof
from interlock.store import runs
from support.identity import GRANT, World, an_agent_key, signed, small_world, world

__all__ = ["small_world", "world"]


async def refused(answer: Any, error: str, status: int = 400) -> str:
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()["error_description"]


def test_a_code_opens_one_run_once(world: World) -> None:
    async def story() -> None:
        code = await world.code()
        answer = await world.exchange(Proof.CODE, code, workflow="refunds")
        assert answer.status_code == 200, answer.text
        given = answer.json()
        assert given["token_type"] == "Bearer"
        assert given["issued_token_type"] == Proof.RUN_TOKEN.value
        assert given["expires_in"] == 600
        assert given["scope"] == "crm.lookup crm.note crm.update"
        assert given["workflow"] == "refunds@1"
        principal = world.authenticator.verify(given["access_token"])
        assert (principal.agent, principal.run, principal.scope) == ("refund-bot", given["run"], None)
        said = await refused(await world.exchange(Proof.CODE, code, workflow="refunds"), "invalid_grant")
        assert "used already" in said
        assert code not in said
        entries = await world.audited("token.exchange_refused")
        assert [json.loads(each.body)["proof"] for each in entries] == ["code"]
        assert code not in entries[0].body

    asyncio.run(story())


def test_who_asked_for_a_code_started_the_run_that_it_opens(world: World) -> None:
    async def story() -> None:
        for body in ({}, {"workflow": "refunds"}):
            answer = await world.exchange(Proof.CODE, await world.code(**body), workflow="refunds")
            opened = await world.store.read(lambda each, run=answer.json()["run"]: runs.get(each, run))
            assert opened.started_by == "maria", "whoever lets an agent in does not approve its calls"

    asyncio.run(story())


def test_of_many_who_present_one_code_one_gets_a_run(world: World) -> None:
    async def story() -> None:
        code = await world.code()
        answers = await asyncio.gather(
            *(world.exchange(Proof.CODE, code, workflow="refunds") for _ in range(6))
        )
        assert sorted(each.status_code for each in answers) == [200, 400, 400, 400, 400, 400]
        assert len(await world.store.read(lambda each: runs.open_runs(each))) == 1

    asyncio.run(story())


def test_a_code_is_for_its_agent_its_workflow_and_its_time(world: World) -> None:
    async def story() -> None:
        await refused(
            await world.exchange(Proof.CODE, await world.code(), workflow="other"), "unauthorized_client"
        )
        await refused(
            await world.exchange(Proof.CODE, await world.code(), workflow="nothing"), "unauthorized_client"
        )
        await refused(await world.exchange(Proof.CODE, await world.code()), "invalid_request")
        bound = await world.code(workflow="notes")
        await refused(await world.exchange(Proof.CODE, bound, workflow="refunds"), "invalid_grant")
        answer = await world.exchange(Proof.CODE, bound)
        assert answer.json()["workflow"] == "notes@1"
        late = await world.code(expires_in=60)
        world.clock.advance(60)
        assert "expired" in await refused(
            await world.exchange(Proof.CODE, late, workflow="refunds"), "invalid_grant"
        )
        await refused(await world.exchange(Proof.CODE, "ilc_guess", workflow="refunds"), "invalid_grant")

    asyncio.run(story())


async def registered(world: World, agent: str = "refund-bot") -> Any:
    key = an_agent_key()
    owner = "maria" if agent == "refund-bot" else "deng"
    async with await world.signed_in(owner) as client:
        answer = await client.post(
            f"/api/v1/agents/{agent}/enrolments", json={"jwk": key.as_dict(private=False)}
        )
    assert answer.status_code == 201, answer.text
    return key


def assertion(world: World, key: Any, **changes: Any) -> str:
    now = world.clock.now() // SECOND
    claims = {
        "iss": "refund-bot",
        "sub": "refund-bot",
        "aud": "urn:interlock:dev",
        "jti": "a1",
        "exp": now + 60,
    }
    return signed(key, {**claims, **changes})


def test_an_agents_own_key_opens_a_run_and_each_assertion_works_once(world: World) -> None:
    async def story() -> None:
        key = await registered(world)
        first = assertion(world, key)
        answer = await world.exchange(Proof.ASSERTION, first, workflow="refunds")
        assert answer.status_code == 200, answer.text
        run = answer.json()["run"]
        found = await world.store.read(lambda each: runs.get(each, run))
        assert found.started_by == "agent:refund-bot"
        said = await refused(
            await world.exchange(Proof.ASSERTION, first, workflow="refunds"), "invalid_client", 401
        )
        assert "presented before" in said
        again = await world.exchange(Proof.ASSERTION, assertion(world, key, jti="a2"), run=run)
        assert again.json()["run"] == run

    asyncio.run(story())


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "urn:interlock:production"},
        {"aud": ["urn:interlock:dev", "https://elsewhere"]},
        {"exp": -40},
        {"exp": 400},
        {"exp": "soon"},
        {"iat": 90},
        {"jti": ""},
        {"jti": "x" * 129},
        {"jti": 7},
        {"iss": "other-bot"},
        {"iss": "other-bot", "sub": "other-bot"},
        {"sub": None, "iss": None},
    ],
)
def test_an_assertion_must_say_exactly_what_it_should(small_world: World, changes: dict[str, Any]) -> None:
    async def story() -> None:
        key = await registered(small_world)
        now = small_world.clock.now() // SECOND
        for name in ("exp", "iat"):
            if isinstance(changes.get(name), int):
                changes[name] += now
        answer = await small_world.exchange(
            Proof.ASSERTION, assertion(small_world, key, **changes), workflow="refunds"
        )
        await refused(answer, "invalid_client", 401)
        assert not small_world.memory.runs

    asyncio.run(story())


def test_an_assertion_by_a_key_nobody_registered_is_refused(small_world: World) -> None:
    async def story() -> None:
        await registered(small_world)
        for forged in (assertion(small_world, an_agent_key()), "a.b.c", "x"):
            answer = await small_world.exchange(Proof.ASSERTION, forged, workflow="refunds")
            await refused(answer, "invalid_client", 401)
        stranger = assertion(small_world, an_agent_key(), iss="ghost", sub="ghost")
        await refused(await small_world.exchange(Proof.ASSERTION, stranger), "invalid_client", 401)

    asyncio.run(story())


def test_a_key_belongs_to_one_agent_and_is_public_and_p256(small_world: World) -> None:
    from joserfc.jwk import ECKey

    async def story() -> None:
        key = await registered(small_world)
        async with await small_world.signed_in("deng") as client:
            url = "/api/v1/agents/other-bot/enrolments"
            taken = await client.post(url, json={"jwk": key.as_dict(private=False)})
            assert taken.status_code == 409
            private = await client.post(url, json={"jwk": an_agent_key().as_dict(private=True)})
            assert "private key" in private.json()["error"]["message"]
            other = ECKey.generate_key("P-384", private=True).as_dict(private=False)
            assert (await client.post(url, json={"jwk": other})).status_code == 400
            assert (await client.post(url, json={"jwk": {"kty": "oct", "k": "AA"}})).status_code == 400

    asyncio.run(story())


def test_a_registered_key_expires(small_world: World) -> None:
    async def story() -> None:
        key = an_agent_key()
        async with await small_world.signed_in("maria") as client:
            body = {"jwk": key.as_dict(private=False), "expires_in": 120}
            assert (await client.post("/api/v1/agents/refund-bot/enrolments", json=body)).status_code == 201
        small_world.clock.advance(121)
        answer = await small_world.exchange(Proof.ASSERTION, assertion(small_world, key), workflow="refunds")
        await refused(answer, "invalid_client", 401)

    asyncio.run(story())


def test_a_run_token_renews_itself_and_keeps_the_run_open(world: World) -> None:
    async def story() -> None:
        first = (
            await world.exchange(Proof.CODE, await world.code(), workflow="refunds", expires_in="60")
        ).json()
        assert first["expires_in"] == 60
        world.clock.advance(30)
        second = (await world.exchange(Proof.RUN_TOKEN, first["access_token"], expires_in="60")).json()
        assert second["run"] == first["run"]
        assert second["access_token"] != first["access_token"]
        world.clock.advance(45)
        with pytest.raises(TokenInvalid, match="expired"):
            world.authenticator.verify(first["access_token"])
        assert world.authenticator.verify(second["access_token"]).run == first["run"]
        await refused(await world.exchange(Proof.RUN_TOKEN, first["access_token"]), "invalid_grant")
        found = await world.store.read(lambda each: runs.get(each, first["run"]))
        assert found.lease_until == world.authenticator.verify(second["access_token"]).expires_at

    asyncio.run(story())


def test_a_token_can_be_narrowed_and_never_widened_again(world: World) -> None:
    async def story() -> None:
        opened = await world.open_run()
        narrow = await world.exchange(
            Proof.RUN_TOKEN, opened.token.token, scope="crm.lookup crm.delete", actor="sub"
        )
        principal = world.authenticator.verify(narrow.json()["access_token"])
        assert principal.scope == frozenset({"crm.lookup"})
        assert principal.actors == ("sub",)
        wider = await world.exchange(
            Proof.RUN_TOKEN, narrow.json()["access_token"], scope="crm.lookup crm.update", actor="subsub"
        )
        deeper = world.authenticator.verify(wider.json()["access_token"])
        assert deeper.scope == frozenset({"crm.lookup"})
        assert deeper.actors == ("subsub", "sub")
        renewed = await world.exchange(Proof.RUN_TOKEN, narrow.json()["access_token"])
        assert renewed.json()["scope"] == "crm.lookup"
        await refused(
            await world.exchange(Proof.RUN_TOKEN, narrow.json()["access_token"], scope="crm.update"),
            "invalid_scope",
        )

    asyncio.run(story())


def test_a_run_token_is_no_way_into_another_run_or_out_of_an_ended_one(world: World) -> None:
    async def story() -> None:
        one, two = await world.open_run(), await world.open_run("notes")
        await refused(await world.exchange(Proof.RUN_TOKEN, one.token.token, run=two.run.id), "invalid_grant")
        await refused(
            await world.exchange(Proof.RUN_TOKEN, one.token.token, workflow="notes"), "invalid_grant"
        )
        async with world.client() as client:
            ended = await client.post(
                "/oauth/revoke", data={"token": one.token.token, "reason": "exit code 0"}
            )
            assert ended.status_code == 200
            assert (await client.post("/oauth/revoke", data={"token": "nonsense"})).status_code == 200
        await refused(await world.exchange(Proof.RUN_TOKEN, one.token.token), "invalid_grant")
        found = await world.store.read(lambda each: runs.get(each, one.run.id))
        assert (found.state.value, found.reason) == ("closed", "exit code 0")
        assert world.authenticator.verify(two.token.token)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "invalid_request"),
        ({"subject_token": ""}, "invalid_request"),
        ({"subject_token": "x" * 20_000}, "invalid_request"),
        ({"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
        ({"audience": "urn:interlock:production"}, "invalid_target"),
        ({"workflow": "a b"}, "invalid_request"),
        ({"expires_in": "ten"}, "invalid_request"),
        ({"expires_in": "-1"}, "invalid_request"),
    ],
)
def test_a_malformed_request_gets_oauths_own_error(
    small_world: World, fields: dict[str, str], error: str
) -> None:
    async def story() -> None:
        form = {
            "grant_type": GRANT,
            "subject_token_type": Proof.CODE.value,
            "subject_token": "ilc_x",
            **fields,
        }
        async with small_world.client() as client:
            await refused(await client.post("/oauth/token", data=form), error)

    asyncio.run(story())


@pytest.mark.parametrize(
    "body", ["a=1&a=2", "x" * 80_000, "%ff%fe=\xff", "&".join(f"f{n}=1" for n in range(60))]
)
def test_a_body_that_is_no_proper_form_is_refused(small_world: World, body: str) -> None:
    async def story() -> None:
        async with small_world.client() as client:
            answer = await client.post("/oauth/token", content=body.encode("latin-1"))
            assert answer.status_code == 400
            assert answer.json()["error"] in ("invalid_request", "unsupported_grant_type")

    asyncio.run(story())


def test_whoever_keeps_failing_must_wait(small_world: World) -> None:
    async def story() -> None:
        good, running = await small_world.code(), await small_world.open_run()
        for _ in range(10):
            await refused(
                await small_world.exchange(Proof.CODE, "ilc_guess", workflow="refunds"), "invalid_grant"
            )
        answer = await small_world.exchange(Proof.CODE, good, workflow="refunds")
        await refused(answer, "slow_down", 429)
        assert (await small_world.exchange(Proof.RUN_TOKEN, running.token.token)).status_code == 200
        assert answer.headers["retry-after"] == "60"
        small_world.clock.advance(61)
        assert (await small_world.exchange(Proof.CODE, good, workflow="refunds")).status_code == 200

    asyncio.run(story())


def test_a_personal_token_is_no_way_to_a_run_token(small_world: World) -> None:
    async def story() -> None:
        async with await small_world.signed_in("ada") as client:
            personal = client.headers["authorization"].removeprefix("Bearer ")
        for proof in Proof:
            answer = await small_world.exchange(proof, personal, workflow="refunds")
            assert answer.status_code in (400, 401)
        with pytest.raises(TokenInvalid):
            small_world.authenticator.verify(personal)

    asyncio.run(story())


def test_the_endpoints_are_discoverable_and_the_key_set_verifies_a_token(small_world: World) -> None:
    from joserfc import jwt
    from joserfc.jwk import KeySet

    async def story() -> None:
        opened = await small_world.open_run()
        async with small_world.client() as client:
            found = (await client.get("/.well-known/oauth-authorization-server")).json()
            assert found["issuer"] == "urn:interlock:dev"
            assert found["token_endpoint"] == "http://interlock/oauth/token"
            published = (await client.get("/.well-known/jwks.json")).json()
        assert all("d" not in key for key in published["keys"])
        decoded = jwt.decode(opened.token.token, KeySet.import_key_set(published), algorithms=["ES256"])
        assert decoded.claims["run"] == opened.run.id

    asyncio.run(story())
