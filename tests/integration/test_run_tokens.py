"""A run token is believed only as long as, where and for what it was issued (H2, invariants 2, 3, 10)."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from interlock.core.identity import check_environment
from interlock.core.model import MINUTE, SECOND
from interlock.core.token import MAX_LENGTH, MAX_LIFE, TYPE, claims_of
from interlock.errors import TokenInvalid
from interlock.services.authenticate import Authenticator
from interlock.services.close_run import close_run
from interlock.services.expire_runs import expire_runs
from interlock.services.revoke import revoke_key, revoke_run_token
from interlock.services.rotate_keys import rotate_keys
from interlock.store import runs
from interlock.store.people import Person
from interlock.store.run_rows import RunState
from support.identity import World, an_agent_key, build_world, signed, small_world, world

__all__ = ["small_world", "world"]
ADMIN = Person(name="ada", roles=frozenset({"admin"}))


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    def read(part: str) -> dict[str, Any]:
        return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))

    header, payload, _ = token.split(".")
    return read(header), read(payload)


def why(world: World, token: str) -> str:
    with pytest.raises(TokenInvalid) as refused:
        world.authenticator.verify(token)
    assert len(token) < 20 or token[-20:] not in str(refused.value)
    return refused.value.message


def test_a_token_says_who_may_do_what_in_which_run(world: World) -> None:
    opened = asyncio.run(world.open_run())
    header, claims = parts(opened.token.token)
    assert header["alg"] == "ES256"
    assert header["typ"] == "at+jwt"
    assert claims["iss"] == claims["aud"] == "urn:interlock:dev"
    assert claims["sub"] == claims["client_id"] == "refund-bot"
    assert (claims["env"], claims["wf"], claims["wfv"]) == ("dev", "refunds", 1)
    assert (claims["run"], claims["own"], claims["epoch"]) == (opened.run.id, "maria", 1)
    assert claims["exp"] - claims["iat"] == 600
    assert claims["authorization_details"] == [
        {
            "type": "interlock_tools",
            "workflow": "refunds@1",
            "whole": True,
            "tools": ["crm.lookup", "crm.note", "crm.update"],
        }
    ]
    assert world.authenticator.verify(opened.token.token) == opened.token.principal


def test_a_token_never_outlives_its_run(tmp_path: Path) -> None:
    async def story() -> None:
        world = await build_world(tmp_path, run_limit=120)
        opened = await world.open_run()
        _, claims = parts(opened.token.token)
        assert claims["exp"] - claims["iat"] == 120
        world.clock.advance(121)
        assert "expired" in why(world, opened.token.token)
        assert await expire_runs(store=world.store, memory=world.memory, now=world.clock.now()) == [
            opened.run.id
        ]
        await world.store.close()

    asyncio.run(story())


@pytest.mark.parametrize("how", ["run", "agent", "token", "key"])
def test_revoking_counts_at_once_for_a_token_that_was_seen_before(world: World, how: str) -> None:
    async def story() -> None:
        opened = await world.open_run()
        token, principal = opened.token.token, opened.token.principal
        world.authenticator.verify(token)
        match how:
            case "run":
                await close_run(
                    store=world.store, memory=world.memory, run=opened.run.id, reason="done", by="x"
                )
            case "agent":
                async with await world.signed_in("maria") as client:
                    done = await client.post("/api/v1/agents/refund-bot/suspend", json={"reason": "odd"})
                    assert done.status_code == 200
            case "token":
                await revoke_run_token(
                    store=world.store,
                    memory=world.memory,
                    token_id=principal.token_id,
                    by=ADMIN,
                    reason="leaked",
                )
            case _:
                await revoke_key(
                    store=world.store,
                    memory=world.memory,
                    keyring=world.keyring,
                    kid=principal.key_id,
                    by=ADMIN,
                    reason="leaked",
                )
        assert why(world, token)
        refused = await _eventually(world)
        assert refused.agent == "refund-bot"
        assert token not in refused.body

    asyncio.run(story())


async def _eventually(world: World) -> Any:
    for _ in range(50):
        if entries := await world.audited("token.refused"):
            return entries[-1]
        await asyncio.sleep(0.02)
    raise AssertionError("the refusal was not audited")


def test_revocations_are_still_known_after_a_restart(tmp_path: Path) -> None:
    from interlock.store import revocations

    async def story() -> None:
        world = await build_world(tmp_path)
        opened = await world.open_run()
        other = await world.open_run("notes")
        await close_run(store=world.store, memory=world.memory, run=opened.run.id, reason="done", by="x")
        await revoke_run_token(
            store=world.store,
            memory=world.memory,
            token_id=other.token.principal.token_id,
            by=ADMIN,
            reason="x",
        )
        now = world.clock.now()
        loaded = await world.store.read(lambda each: revocations.load(each, now))
        assert loaded == world.memory.revoked or loaded.agents == {"refund-bot": 1, "other-bot": 1}
        assert loaded.runs == {opened.run.id}
        assert loaded.tokens == {other.token.principal.token_id}
        later = await world.store.read(lambda each: revocations.load(each, now + 12 * MINUTE))
        assert not later.runs
        assert later.tokens == loaded.tokens, "a call it proposed may still wait for a person"
        await world.store.close()

    asyncio.run(story())


def test_rotation_has_no_gap(world: World) -> None:
    async def story() -> None:
        before = await world.open_run()
        old = world.keyring.current().kid
        rotation = await rotate_keys(store=world.store, keyring=world.keyring, by=ADMIN)
        published = {key["kid"] for key in world.keyring.jwks()["keys"]}
        assert published == {old, rotation.kid}
        assert world.keyring.current().kid == old
        world.clock.advance(599)
        last = await world.open_run("notes")
        assert last.token.principal.key_id == old
        world.clock.advance(2)
        assert world.keyring.current().kid == rotation.kid
        assert world.authenticator.verify(last.token.token).key_id == old
        new = await world.open_run("notes")
        assert new.token.principal.key_id == rotation.kid
        world.clock.advance(640)
        assert {key["kid"] for key in world.keyring.jwks()["keys"]} == {rotation.kid}
        assert why(world, before.token.token)

    asyncio.run(story())


def test_a_rotation_is_not_started_twice(small_world: World) -> None:
    from interlock.errors import StateConflict

    async def story() -> None:
        await rotate_keys(store=small_world.store, keyring=small_world.keyring, by=ADMIN)
        with pytest.raises(StateConflict):
            await rotate_keys(store=small_world.store, keyring=small_world.keyring, by=ADMIN)

    asyncio.run(story())


def test_keys_survive_a_restart_and_open_only_with_their_master_key(tmp_path: Path) -> None:
    from interlock.errors import StoreError
    from interlock.store.keyring import Keyring

    async def story() -> None:
        world = await build_world(tmp_path)
        opened = await world.open_run()
        again = await Keyring.open(world.store, world.settings)
        assert again.verify(opened.token.token, typ=TYPE) == world.keyring.verify(
            opened.token.token, typ=TYPE
        )
        master = world.settings.data / "keys" / "master.key"
        assert master.stat().st_mode & 0o777 == 0o600
        other = base64.b64encode(b"x" * 32).decode()
        with pytest.raises(StoreError, match="cannot be opened"):
            await Keyring.open(world.store, replace(world.settings, master_key=other))
        master.chmod(0o644)
        with pytest.raises(StoreError, match="Others can read"):
            await Keyring.open(world.store, world.settings)
        await world.store.close()

    asyncio.run(story())


def test_private_keys_are_sealed_at_rest(world: World) -> None:
    from interlock.store.schema import signing_keys

    row = asyncio.run(world.store.read(lambda each: each.execute(signing_keys.select()).one()))
    sealed = base64.b64decode(row.private_enc)
    private = world.keyring.current().private
    assert private is not None
    assert private.as_der(private=True) not in sealed
    assert '"d"' not in row.public_jwk


# Forgeries. Each is denied, says why, and is audited without the token.


def part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def forged(world: World, **changes: Any) -> dict[str, Any]:
    opened = asyncio.run(world.open_run())
    _, claims = parts(opened.token.token)
    return {**claims, **changes}


def test_a_token_without_a_signature_is_refused(small_world: World) -> None:
    claims = forged(small_world)
    kid = small_world.keyring.current().kid
    unsigned = f"{part({'alg': 'none', 'typ': TYPE, 'kid': kid})}.{part(claims)}."
    assert "Only tokens signed with ES256" in why(small_world, unsigned)


def test_the_public_key_is_no_shared_secret(small_world: World) -> None:
    claims = forged(small_world)
    key = small_world.keyring.current()
    signing = f"{part({'alg': 'HS256', 'typ': TYPE, 'kid': key.kid})}.{part(claims)}"
    mac = hmac.digest(key.verifier.as_pem(private=False), signing.encode(), "sha256")
    token = f"{signing}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
    assert "Only tokens signed with ES256" in why(small_world, token)


@pytest.mark.parametrize("trick", ["jwk", "jku", "x5u", "crit"])
def test_a_token_cannot_bring_its_own_key(small_world: World, trick: str) -> None:
    claims, mine = forged(small_world), an_agent_key()
    value: Any = mine.as_dict(private=False) if trick == "jwk" else "https://evil.example/keys"
    header = {"alg": "ES256", "typ": TYPE, "kid": small_world.keyring.current().kid, trick: value}
    body = ".".join(
        base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in (header, claims)
    )
    plain = jws.serialize_compact({"alg": "ES256"}, json.dumps(claims).encode(), mine, ["ES256"])
    assert "header" in why(small_world, f"{body}.{plain.split('.')[2]}")


def test_another_key_under_a_known_name_does_not_verify(small_world: World) -> None:
    token = signed(an_agent_key(), forged(small_world), typ=TYPE, kid=small_world.keyring.current().kid)
    assert "signature" in why(small_world, token)
    unknown = signed(an_agent_key(), forged(small_world), typ=TYPE, kid="nobody")
    assert "a key this environment does not have" in why(small_world, unknown)


def test_a_changed_claim_breaks_the_signature(small_world: World) -> None:
    token = asyncio.run(small_world.open_run()).token.token
    header, payload, signature = token.split(".")
    _, claims = parts(token)
    claims["exp"] += 3600
    changed = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    assert payload != changed
    assert "signature" in why(small_world, f"{header}.{changed}.{signature}")


@pytest.mark.parametrize(
    "junk", ["", "a", "a.b.c", "ilk_" + "x" * 40, "\ud800.a.b", "é.é.é", "..", "x" * 20_000]
)
def test_junk_is_refused(small_world: World, junk: str) -> None:
    assert why(small_world, junk)


def test_an_oversized_token_is_refused_before_it_is_read(small_world: World) -> None:
    assert "longer than" in why(small_world, "a" * (MAX_LENGTH + 1))


@pytest.mark.parametrize(
    ("claim", "value"),
    [("exp", "soon"), ("exp", True), ("sub", ""), ("run", None), ("epoch", -1), ("wfv", 1.5),
     ("client_id", "x"),
     ("authorization_details", []), ("authorization_details", [{"type": "other"}]), ("act", {"sub": 1})],
)  # fmt: skip
def test_a_well_signed_token_with_odd_claims_is_refused(small_world: World, claim: str, value: Any) -> None:
    claims = forged(small_world, **{claim: value})
    assert why(small_world, small_world.keyring.sign(claims, typ=TYPE))


def test_a_token_that_claims_a_long_life_is_refused(small_world: World) -> None:
    now = small_world.clock.now() // SECOND
    claims = forged(small_world, iat=now, exp=now + 601)
    assert "longer life" in why(small_world, small_world.keyring.sign(claims, typ=TYPE))


def test_a_token_from_a_clock_thirty_seconds_ahead_is_believed_and_no_further(small_world: World) -> None:
    now = small_world.clock.now() // SECOND
    near = small_world.keyring.sign(forged(small_world, iat=now + 30, exp=now + 90), typ=TYPE)
    assert small_world.authenticator.verify(near).agent == "refund-bot"
    far = small_world.keyring.sign(forged(small_world, iat=now + 31, exp=now + 90), typ=TYPE)
    assert "not valid yet" in why(small_world, far)


def test_a_token_of_another_type_is_no_run_token(small_world: World) -> None:
    token = small_world.keyring.sign(forged(small_world), typ="checkpoint+jwt")
    assert "not of type" in why(small_world, token)


# The four walls between environments (invariant 10), each with the others down.


async def _production(tmp_path: Path, clock: Any, **settings: Any) -> World:
    return await build_world(tmp_path / "production", clock=clock, environment="production", **settings)


def test_wall_one_another_environments_signature_does_not_verify(tmp_path: Path) -> None:
    async def story() -> None:
        staging = await build_world(tmp_path / "staging", environment="staging", issuer="urn:same")
        production = await _production(tmp_path, staging.clock, issuer="urn:same")
        opened = await staging.open_run()
        assert "a key this environment does not have" in why(production, opened.token.token)
        header, payload, signature = opened.token.token.split(".")
        renamed = base64.urlsafe_b64encode(
            json.dumps({"alg": "ES256", "typ": TYPE, "kid": production.keyring.current().kid}).encode()
        ).decode().rstrip("=")  # fmt: skip
        assert "signature" in why(production, f"{renamed}.{payload}.{signature}")
        assert header != renamed
        staging.store.close_now()
        production.store.close_now()

    asyncio.run(story())


def test_wall_two_the_issuer_is_another(small_world: World) -> None:
    claims = forged(small_world, iss="urn:interlock:staging")
    assert "another environment" in why(small_world, small_world.keyring.sign(claims, typ=TYPE))


@pytest.mark.parametrize(
    "audience", ["urn:interlock:staging", ["urn:interlock:dev", "urn:interlock:staging"], None]
)
def test_wall_three_the_audience_is_another(small_world: World, audience: Any) -> None:
    claims = forged(small_world, aud=audience)
    assert "another gateway" in why(small_world, small_world.keyring.sign(claims, typ=TYPE))


def test_wall_four_the_environment_itself_is_compared(small_world: World) -> None:
    claims = forged(small_world, env="staging")
    token = small_world.keyring.sign(claims, typ=TYPE)
    assert "staging" in why(small_world, token)
    opened = asyncio.run(small_world.open_run())
    foreign = replace(opened.token.principal, environment="staging")
    assert check_environment(foreign, "dev") is not None


# The hot path.


def test_verifying_a_token_again_costs_microseconds(small_world: World) -> None:
    token = asyncio.run(small_world.open_run()).token.token
    small_world.authenticator.verify(token)
    best = min(_timed(small_world.authenticator, token) for _ in range(5))
    assert best < 20e-6, f"{best * 1e6:.1f} us"


def _timed(authenticator: Authenticator, token: str) -> float:
    started = time.perf_counter()
    for _ in range(1_000):
        authenticator.verify(token)
    return (time.perf_counter() - started) / 1_000


def test_the_cache_of_tokens_is_bounded(small_world: World) -> None:
    authenticator = Authenticator(
        store=small_world.store,
        keyring=small_world.keyring,
        memory=small_world.memory,
        runtime=small_world.runtime,
        issuer="urn:interlock:dev",
        remembered=3,
    )
    opened = asyncio.run(small_world.open_run())
    for number in range(6):
        claims = claims_of(
            replace(opened.token.principal, token_id=f"jti_{number}"),
            issuer="urn:interlock:dev",
            issued_at=small_world.clock.now(),
            tools=(),
        )
        authenticator.verify(small_world.keyring.sign(claims, typ=TYPE))
    assert len(authenticator._known) == 3


def test_a_flood_of_bad_tokens_is_audited_as_a_count(small_world: World) -> None:
    async def story() -> None:
        for _ in range(200):
            why(small_world, "a.b.c")
        small_world.clock.advance(1)
        why(small_world, "a.b.c")
        await asyncio.sleep(0.2)
        entries = await small_world.audited("token.refused")
        assert len(entries) == 21
        assert json.loads(entries[-1].body) == {"code": "malformed", "not_listed_before": 180}

    asyncio.run(story())


# Runs that nobody renews.


@pytest.mark.parametrize("attended", [True, False])
def test_a_run_that_nobody_renews_is_ended(world: World, attended: bool) -> None:
    async def story() -> None:
        opened = await world.open_run(life=MINUTE, attended=attended)
        assert await expire_runs(store=world.store, memory=world.memory, now=world.clock.now()) == []
        world.clock.advance(91)
        assert await expire_runs(store=world.store, memory=world.memory, now=world.clock.now()) == [
            opened.run.id
        ]
        ended = await world.store.read(lambda each: runs.get(each, opened.run.id))
        assert ended.state is RunState.ENDED
        assert "renewed" in ended.reason
        world.clock.advance(3_600)
        await expire_runs(store=world.store, memory=world.memory, now=world.clock.now())
        assert opened.run.id not in world.memory.runs
        assert not world.memory.revoked.runs, "nor does the list of revoked runs grow for ever"
        with pytest.raises(TokenInvalid):
            world.authenticator.verify(opened.token.token)

    asyncio.run(story())


def test_the_longest_life_is_ten_minutes() -> None:
    assert MAX_LIFE == 10 * MINUTE
    assert isinstance(an_agent_key(), ECKey)
