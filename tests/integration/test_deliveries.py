"""Notices reach people over real sockets, at least once, and never where they must not (G3)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from interlock.core.alert import AlertKind
from interlock.core.document.identity import Person
from interlock.core.model import SECOND
from interlock.errors import UsageError
from interlock.services.deliver import Deliver
from interlock.store import alert_events, deliveries, schema
from interlock.store.alert_events import Raised
from interlock.store.deliveries import Delivery
from interlock.upstream.notify.mail import MailServer, mail_server
from interlock.upstream.notify.message import Message, NotTaken, Sent
from interlock.upstream.notify.reach import Unreachable, check_url, refusal
from interlock.upstream.notify.webhook import REPLAY_WINDOW, post
from support.engine import World, a_manifest
from support.receivers import KEY, hook, mailbox, signed

HOUR = 3600
table = schema.deliveries


@asynccontextmanager
async def telling(
    data: Path,
    database: str,
    *,
    webhook: str = "",
    email: str = "",
    key: str = "secret://env/HOOK",
    **more: Any,
) -> AsyncGenerator[tuple[World, Deliver]]:
    """A world in which lee has one notice waiting, and what delivers it."""
    channels = {"webhook": webhook, "webhook_key": key} if webhook else {}
    world = World(data, database)
    await world.open(
        a_manifest(Person(name="lee", email=email, channels={k: v for k, v in channels.items() if v}))
    )
    what = Raised(
        kind=AlertKind.BUDGET_SOFT, subject="workflow:orders", period="day:1", summary="72 %", route=("lee",)
    )
    await world.store.transact(lambda tx: alert_events.raise_alert(tx, world.memory, what))
    values: dict[str, Any] = {
        "store": world.store,
        "memory": world.memory,
        "runtime": world.runtime,
        "environment": "dev",
        "secret": {"HOOK": KEY}.get,
        "private": True,
    }
    try:
        yield world, Deliver(**values | more)
    finally:
        await world.close()


async def only(world: World) -> Delivery:
    """The one delivery there is."""
    (found,) = await world.store.read(lambda connection: deliveries.listed(connection, "dev"))
    return found


async def ago(world: World, seconds: int) -> None:
    """Let everything about deliveries have happened earlier: the database has a clock of its own."""
    past = {name: table.c[name] - seconds * SECOND for name in ("created_at", "due_at", "lease_until")}
    await world.store.transact(lambda tx: tx.execute(sa.update(table).values(past)))


async def log_of(world: World) -> list[tuple[str, str]]:
    """What the delivery log says."""
    found = await only(world)
    attempts = await world.store.read(lambda connection: deliveries.attempts_of(connection, [found.id]))
    return [(each.outcome, each.detail) for each in attempts[found.id]]


def a_message(target: str) -> Message:
    """A message to a webhook."""
    return Message(delivery="dlv_1", target=target, title="", text="", body=b"{}")


def test_a_webhook_is_signed_and_says_what_to_do(tmp_path: Path, database_url: str) -> None:
    async def story() -> None:
        async with (
            hook() as receiver,
            telling(tmp_path, database_url, webhook=receiver.url) as (world, deliver),
        ):
            assert await deliver() == 1
            assert await deliver() == 0
            (got,) = receiver.got
            assert signed(got)
            assert not signed((got[0], got[1] + b" "))
            assert not signed(got, "another key")
            told = json.loads(got[1])
            found = await only(world)
            assert told["delivery"] == found.id == got[0]["x-interlock-delivery"] == got[0]["idempotency-key"]
            assert told["runbook"]["first_action"]
            assert (found.state, await log_of(world)) == ("delivered", [("delivered", "HTTP 200")])
            assert abs(int(got[0]["x-interlock-timestamp"]) - world.clock.now() / 1e6) < REPLAY_WINDOW

    asyncio.run(story())


def test_what_is_not_taken_comes_again_later_with_the_same_id(tmp_path: Path, database_url: str) -> None:
    async def story() -> None:
        async with (
            hook(500, 429) as receiver,
            telling(tmp_path, database_url, webhook=receiver.url) as (
                world,
                deliver,
            ),
        ):
            assert [await deliver(), await deliver()] == [1, 0]
            assert (await only(world)).problem == "HTTP 500"
            for _ in range(2):
                await ago(world, 60)
                assert await deliver() == 1
            assert len({headers["x-interlock-delivery"] for headers, _ in receiver.got}) == 1
            assert all(signed(got) for got in receiver.got)
            assert [outcome for outcome, _ in await log_of(world)] == ["failed", "failed", "delivered"]

    asyncio.run(story())


@pytest.mark.parametrize("status", [302, 307, 404, 410])
def test_a_redirect_is_not_followed_and_what_can_never_work_is_given_up(tmp_path: Path, status: int) -> None:
    async def story() -> None:
        async with hook(status) as receiver, telling(tmp_path, "", webhook=receiver.url) as (world, deliver):
            await deliver()
            await ago(world, HOUR)
            assert await deliver() == 0
            assert len(receiver.got) == 1
            assert (await only(world)).state == "given_up"

    asyncio.run(story())


def test_it_is_given_up_after_a_day(tmp_path: Path) -> None:
    async def story() -> None:
        async with hook() as receiver:
            gone = receiver.url
        async with telling(tmp_path, "", webhook=gone) as (world, deliver):
            await deliver()
            assert (await only(world)).problem == "not reached: ClientConnectorError"
            await ago(world, 25 * HOUR)
            await deliver()
            assert (await only(world)).state == "given_up"

    asyncio.run(story())


def test_a_worker_that_died_while_sending_leaves_a_lease_and_it_is_sent_again(
    tmp_path: Path, database_url: str
) -> None:
    async def story() -> None:
        async with (
            hook() as receiver,
            telling(tmp_path, database_url, webhook=receiver.url) as (world, deliver),
        ):
            claimed = await world.store.transact(lambda tx: deliveries.claim(tx, "dev"))
            assert len(claimed) == 1  # and then the process dies
            assert await deliver() == 0
            await ago(world, 180)
            assert await deliver() == 1
            assert (await only(world)).state == "delivered"

    asyncio.run(story())


def test_two_workers_do_not_send_the_same(tmp_path: Path, database_url: str) -> None:
    async def story() -> None:
        async with hook() as receiver, telling(tmp_path, database_url, webhook=receiver.url) as (_, deliver):
            assert sorted(await asyncio.gather(deliver(), deliver())) == [0, 1]
            assert len(receiver.got) == 1

    asyncio.run(story())


def test_a_webhook_that_nothing_signs_is_not_sent(tmp_path: Path) -> None:
    async def story() -> None:
        for number, (key, own) in enumerate([("", ""), ("secret://env/UNSET", "spare"), ("plain", "spare")]):
            async with (
                hook() as receiver,
                telling(tmp_path / str(number), "", webhook=receiver.url, key=key, webhook_key=own) as (
                    world,
                    deliver,
                ),
            ):
                await deliver()
                assert receiver.got == []
                assert (await only(world)).problem.startswith("no key to sign it with")
        async with (
            hook() as receiver,
            telling(tmp_path / "own", "", webhook=receiver.url, key="", webhook_key="spare") as (_, deliver),
        ):
            await deliver()
            assert signed(receiver.got[0], "spare")

    asyncio.run(story())


def test_mail_goes_out_encrypted_with_a_password_that_no_log_holds(tmp_path: Path, database_url: str) -> None:
    async def story() -> None:
        async with mailbox(tmp_path) as box:
            server = MailServer(
                host="127.0.0.1", port=box.port, security="starttls", sender="interlock@example.com",
                user="interlock", password="hunter2", ca=str(tmp_path / "ca.pem"),
            )  # fmt: skip
            assert "hunter2" not in repr(server)
            box.refuses.append("451 later")
            async with telling(tmp_path, database_url, email="lee@example.com", mail_server=server) as (
                world,
                deliver,
            ):
                await deliver()
                assert (await only(world)).problem == "SMTP 451"
                await ago(world, 60)
                await deliver()
                (mail,) = box.mails
                found = await only(world)
                assert (mail["To"], mail["Message-ID"]) == ("lee@example.com", f"<{found.id}@interlock>")
                assert mail["Subject"] == "[ticket] dev: 72 %"
                assert found.state == "delivered"
            assert box.said.index("STARTTLS") < min(n for n, said in enumerate(box.said) if "AUTH" in said)

    asyncio.run(story())


def test_mail_to_a_server_nobody_vouches_for_is_not_handed_in(tmp_path: Path) -> None:
    async def story() -> None:
        async with mailbox(tmp_path) as box:
            server = MailServer(host="127.0.0.1", port=box.port, security="starttls", sender="i@example.com")
            async with telling(tmp_path, "", email="lee@example.com", mail_server=server) as (world, deliver):
                await deliver()
                assert (await only(world)).problem.startswith("the mail server could not be used")
                assert box.mails == []

    asyncio.run(story())


@pytest.mark.parametrize("email", ["a b@example.com", "lee@example.com\r\nBcc: eve@example.com", "@", "lee"])
def test_an_address_that_is_none_is_given_up_and_adds_no_header(tmp_path: Path, email: str) -> None:
    async def story() -> None:
        async with mailbox(tmp_path) as box:
            server = MailServer(
                host="127.0.0.1", port=box.port, security="starttls", sender="i@example.com",
                ca=str(tmp_path / "ca.pem"),
            )  # fmt: skip
            async with telling(tmp_path, "", email=email, mail_server=server) as (world, deliver):
                await deliver()
                assert (await only(world)).state == "given_up", await log_of(world)
                assert not any("eve" in said for said in box.said)

    asyncio.run(story())


def test_without_a_mail_server_the_log_says_that_nobody_was_told(tmp_path: Path) -> None:
    async def story() -> None:
        async with telling(tmp_path, "", email="lee@example.com") as (world, deliver):
            await deliver()
            found = await only(world)
            assert (found.state, found.problem) == ("given_up", "no mail server is set: INTERLOCK_SMTP")

    asyncio.run(story())


@pytest.mark.parametrize(
    ("url", "security"),
    [
        ("smtp://me@mail.example.com", "starttls"),
        ("smtps://mail.example.com", "tls"),
        ("smtp+plain://localhost", "plain"),
    ],
)
def test_a_mail_server_is_named_by_a_url(url: str, security: str) -> None:
    found = mail_server(url, sender="", password="")
    assert found is not None
    assert found.security == security
    assert mail_server("", sender="", password="") is None


@pytest.mark.parametrize(
    ("url", "password"),
    [
        ("http://x", ""),
        ("smtp://me:secret@host", ""),
        ("smtp+plain://me@host", ""),
        ("smtp+plain://host", "x"),
        ("smtp://", ""),
    ],
)
def test_a_mail_server_that_would_leak_is_refused(url: str, password: str) -> None:
    with pytest.raises(UsageError) as refused:
        mail_server(url, sender="", password=password)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("93.184.216.34", True), ("2606:4700::1111", True),
        ("127.0.0.1", None), ("10.0.0.1", None), ("192.168.1.1", None), ("::1", None), ("fd00::1", None),
        ("::ffff:10.0.0.1", None), ("64:ff9b::a00:1", None), ("2002:a00:1::", None),
        ("169.254.169.254", False), ("fe80::1", False), ("fe80::1%eth0", False), ("224.0.0.1", False),
        ("0.0.0.0", False), ("::", False), ("::ffff:169.254.169.254", False), ("64:ff9b::a9fe:a9fe", False),
        ("240.0.0.1", False), ("100.64.0.1", False), ("255.255.255.255", False),
    ],
)  # fmt: skip
def test_which_addresses_a_webhook_may_reach(address: str, inside: bool | None) -> None:
    """True: always; None: only where private addresses are allowed; False: never."""
    assert (refusal(address, private=False) == "") is (inside is True)
    assert (refusal(address, private=True) == "") is (inside is not False)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "https://me:x@example.com",
        "https:///x",
        "file:///etc/passwd",
        "https://[::1]/",
        "https://10.1.2.3",
    ],
)
def test_a_url_that_must_not_be_called_is_refused(url: str) -> None:
    with pytest.raises(Unreachable):
        check_url(url, private=False)


def test_a_name_that_resolves_to_this_machine_is_not_called_unless_allowed() -> None:
    async def story() -> None:
        async with hook() as receiver:
            port = receiver.url.split(":")[2]
            message = Message(
                delivery="dlv_1", target=f"http://localhost:{port}", title="", text="", body=b"{}"
            )
            assert isinstance(await post(message, key=b"k", timestamp=1, private=True), Sent)
            inside = replace(message, target=f"https://localhost:{port}")
            refused = await post(inside, key=b"k", timestamp=1, private=False)
            assert isinstance(refused, NotTaken)
            assert refused.final
            assert refused.detail.startswith("not called: its address must not be reached")
            assert len(receiver.got) == 1

    asyncio.run(story())


def test_a_receiver_that_answers_nonsense_is_not_believed() -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH\r\n")
        await writer.drain()
        writer.close()

    async def story() -> None:
        server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        message = Message(
            delivery="d", target=f"http://127.0.0.1:{port}/?token=hunter2", title="", text="", body=b"{}"
        )
        said = await post(message, key=b"k", timestamp=1, private=True)
        server.close()
        assert isinstance(said, NotTaken)
        assert not said.final
        assert "hunter2" not in said.detail

    asyncio.run(story())
