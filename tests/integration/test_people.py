"""People sign in with passwords and personal tokens that only narrow what they may do (H2, H6)."""

from __future__ import annotations

import asyncio
import json

import pytest

from interlock.core.document.identity import Person as PersonDocument
from interlock.store import people
from interlock.store.schema import api_tokens
from interlock.store.schema import people as people_table
from support.identity import World, small_world, world

__all__ = ["small_world", "world"]
PASSWORD = "correct horse battery"


def test_a_token_says_who_it_speaks_for_and_is_kept_hashed(world: World) -> None:
    async def story() -> None:
        async with await world.signed_in("maria") as client:
            me = (await client.get("/api/v1/me")).json()
            secret = client.headers["authorization"].removeprefix("Bearer ")
        assert me["name"] == "maria"
        assert me["roles"] == ["agent_owner", "approver", "developer"]
        assert secret.startswith("ilk_")
        row = await world.store.read(lambda each: each.execute(api_tokens.select()).one())
        assert secret not in str(row)

    asyncio.run(story())


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Basic YTpi", "Bearer ilk_guess", "Bearer " + "ilk_" + "x" * 400]
)
def test_nobody_gets_in_without_a_good_token(small_world: World, header: str) -> None:
    async def story() -> None:
        async with small_world.client() as client:
            answer = await client.get("/api/v1/me", headers={"authorization": header})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["error"]["code"] == "token_invalid"
        if header == "Bearer ilk_guess":
            (entry,) = await small_world.audited("token.refused")
            assert json.loads(entry.body) == {"code": "personal_token"}

    asyncio.run(story())


def test_an_agent_cannot_use_the_api_of_people(small_world: World) -> None:
    async def story() -> None:
        opened = await small_world.open_run()
        async with small_world.client(opened.token.token) as client:
            answer = await client.get("/api/v1/me")
        assert answer.status_code == 401
        assert "run token" in answer.json()["error"]["message"]

    asyncio.run(story())


def test_a_token_ends_is_revoked_or_follows_its_person_out(world: World) -> None:
    async def story() -> None:
        brief = await world.signed_in("maria", expires_at=world.clock.now() + 5_000_000)
        lasting = await world.signed_in("maria")
        assert (await brief.get("/api/v1/me")).status_code == 200
        world.clock.advance(5)
        assert (await brief.get("/api/v1/me")).status_code == 401
        listed = (await lasting.get("/api/v1/tokens")).json()["items"]
        newest = next(each for each in listed if each["expires_at"] is None)
        other = await world.signed_in("deng")
        assert (await other.delete(f"/api/v1/tokens/{newest['id']}")).status_code == 404
        assert (await lasting.delete(f"/api/v1/tokens/{newest['id']}")).status_code == 200
        assert (await lasting.get("/api/v1/me")).status_code == 401
        assert (await other.get("/api/v1/me")).status_code == 200
        await world.store.transact(
            lambda each: people.declare(
                each, [PersonDocument(name="ada", email="a@example.com", roles=("admin",))]
            )
        )
        assert (await other.get("/api/v1/me")).status_code == 401

    asyncio.run(story())


def test_roles_follow_the_manifest_and_a_token_only_narrows_them(world: World) -> None:
    async def story() -> None:
        narrow = await world.signed_in("maria", roles=["developer", "admin"])
        assert (await narrow.get("/api/v1/me")).json()["roles"] == ["developer"]
        wide = await narrow.post("/api/v1/tokens", json={"roles": ["approver"]})
        assert wide.status_code == 403
        made = await narrow.post("/api/v1/tokens", json={})
        async with world.client(made.json()["token"]) as child:
            assert (await child.get("/api/v1/me")).json()["roles"] == ["developer"]
        declared = PersonDocument(name="maria", email="m@example.com", roles=("viewer",))
        await world.store.transact(lambda each: people.declare(each, [declared]))
        assert (await narrow.get("/api/v1/me")).json()["roles"] == []

    asyncio.run(story())


def test_only_an_admin_makes_tokens_for_others_and_it_is_said(world: World) -> None:
    async def story() -> None:
        async with await world.signed_in("maria") as client:
            assert (await client.post("/api/v1/tokens", json={"person": "deng"})).status_code == 403
            assert (await client.post("/api/v1/tokens", json={"roles": ["king"]})).status_code == 400
            assert (await client.get("/api/v1/tokens", params={"all": "true"})).status_code == 403
        async with await world.signed_in("ada") as client:
            made = await client.post("/api/v1/tokens", json={"person": "deng", "label": "phone"})
            assert made.status_code == 201
            assert made.headers["cache-control"] == "no-store"
            assert (await client.post("/api/v1/tokens", json={"person": "ghost"})).status_code == 404
            listed = (await client.get("/api/v1/tokens", params={"all": "true"})).json()["items"]
        assert [each["created_by"] for each in listed if each["label"] == "phone"] == ["ada"]
        (entry,) = await world.audited("person.token_created")
        assert (entry.person, json.loads(entry.body)["of"]) == ("ada", "deng")
        assert made.json()["token"] not in entry.body

    asyncio.run(story())


def test_a_password_signs_in_for_half_a_day(world: World) -> None:
    async def story() -> None:
        async with await world.signed_in("maria") as client:
            assert (await client.post("/api/v1/password", json={"password": "short"})).status_code == 400
            assert (await client.post("/api/v1/password", json={"password": PASSWORD})).status_code == 200
            wrong = await client.post("/api/v1/password", json={"password": PASSWORD + "!", "current": "no"})
            assert wrong.status_code == 403
            elses = await client.post("/api/v1/password", json={"password": PASSWORD, "person": "deng"})
            assert elses.status_code == 403
        stored = await world.store.read(lambda each: people.password_hash(each, "maria"))
        assert stored is not None
        assert stored.startswith("$argon2id$")
        assert PASSWORD not in stored
        async with world.client() as client:
            answer = await client.post("/api/v1/sign-in", json={"person": "maria", "password": PASSWORD})
            assert answer.status_code == 201
            async with world.client(answer.json()["token"]) as signed_in:
                assert (await signed_in.get("/api/v1/me")).json()["name"] == "maria"
                world.clock.advance(12 * 3600)
                assert (await signed_in.get("/api/v1/me")).status_code == 401

    asyncio.run(story())


@pytest.mark.parametrize("name", ["maria", "ghost", ""])
def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(small_world: World, name: str) -> None:
    async def story() -> None:
        async with small_world.client() as client:
            answer = await client.post("/api/v1/sign-in", json={"person": name, "password": "x"})
        assert answer.status_code == 401
        assert answer.json()["error"]["message"] == "The name or the password is wrong."

    asyncio.run(story())


def test_guessing_passwords_must_wait(small_world: World) -> None:
    async def story() -> None:
        async with small_world.client() as client:
            body = {"person": "maria", "password": "x"}
            for _ in range(10):
                await client.post("/api/v1/sign-in", json=body)
            answer = await client.post("/api/v1/sign-in", json=body)
            assert "Too many" in answer.json()["error"]["message"]

    asyncio.run(story())


def test_guesses_that_come_all_at_once_are_no_more_guesses(small_world: World) -> None:
    async def story() -> None:
        async with small_world.client() as client:
            body = {"person": "maria", "password": "x"}
            answers = await asyncio.gather(*(client.post("/api/v1/sign-in", json=body) for _ in range(30)))
        said = [each.json()["error"]["message"] for each in answers]
        assert sum("wrong" in each for each in said) == 10
        assert sum("Too many" in each for each in said) == 20

    asyncio.run(story())


def test_a_narrowed_token_sets_no_password_to_become_whole_again(small_world: World) -> None:
    async def story() -> None:
        body = {"password": "a quite long password"}
        for roles in (["viewer"], ["admin"], []):
            async with await small_world.signed_in("ada", roles=roles) as client:
                answer = await client.post("/api/v1/password", json=body)
                assert answer.status_code == 403, roles
                assert "narrowed" in answer.json()["error"]["message"]
        async with await small_world.signed_in("ada", roles=["admin", "viewer"]) as client:
            assert (await client.post("/api/v1/password", json=body)).status_code == 200

    asyncio.run(story())


def test_a_removed_person_returns_with_their_password(world: World) -> None:
    async def story() -> None:
        ada = PersonDocument(name="ada", email="a@example.com", roles=("admin",))
        maria = PersonDocument(name="maria", email="m@example.com", roles=("viewer",))
        await world.store.transact(lambda each: people.set_password_hash(each, "maria", "$argon2id$x"))
        await world.store.transact(lambda each: people.declare(each, [ada]))
        assert await world.store.read(lambda each: people.password_hash(each, "maria")) is None
        await world.store.transact(lambda each: people.declare(each, [ada, maria]))
        assert await world.store.read(lambda each: people.password_hash(each, "maria")) == "$argon2id$x"
        rows = await world.store.read(lambda each: each.execute(people_table.select()).all())
        assert len(rows) == 5

    asyncio.run(story())


def test_an_admin_rotates_and_revokes_signing_keys(world: World) -> None:
    async def story() -> None:
        opened = await world.open_run()
        async with await world.signed_in("otto") as client:
            assert (await client.post("/api/v1/keys", json={})).status_code == 403
            assert len((await client.get("/api/v1/keys")).json()["items"]) == 1
        async with await world.signed_in("ada") as client:
            done = await client.post("/api/v1/keys", json={"publish_ahead": 60})
            assert [each["state"] for each in done.json()["keys"]] == ["signs", "published"]
            assert (await client.post("/api/v1/keys", json={"publish_ahead": 60})).status_code == 409
            assert (await client.post("/api/v1/keys", json={"publish_ahead": -1})).status_code in (400, 409)
            world.clock.advance(61)
            states = [each["state"] for each in (await client.get("/api/v1/keys")).json()["items"]]
            assert states == ["verifies", "signs"]
            kid = opened.token.principal.key_id
            assert (await client.post(f"/api/v1/keys/{kid}/revoke", json={})).status_code == 400
            revoked = await client.post(f"/api/v1/keys/{kid}/revoke", json={"reason": "leaked"})
            assert revoked.json()["signs_now"] == done.json()["kid"]
            assert (await client.post("/api/v1/keys/none/revoke", json={"reason": "x"})).status_code == 404
        assert kid in world.memory.revoked.keys

    asyncio.run(story())


def test_revoking_the_only_key_makes_the_next_one_sign_at_once(world: World) -> None:
    async def story() -> None:
        old = world.keyring.current().kid
        async with await world.signed_in("ada") as client:
            done = await client.post(f"/api/v1/keys/{old}/revoke", json={"reason": "leaked"})
            assert done.json()["signs_now"] != old
        opened = await world.open_run()
        assert world.authenticator.verify(opened.token.token).key_id == done.json()["signs_now"]

    asyncio.run(story())


def test_unknown_fields_and_broken_bodies_are_usage_errors(small_world: World) -> None:
    async def story() -> None:
        async with await small_world.signed_in("ada") as client:
            assert (await client.post("/api/v1/tokens", json={"rolls": []})).status_code == 400
            assert (await client.post("/api/v1/tokens", content=b"{")).status_code == 400
            large = b'{"label": "' + b"x" * 5_000_000 + b'"}'
            assert (await client.post("/api/v1/tokens", content=large)).status_code == 400

    asyncio.run(story())
