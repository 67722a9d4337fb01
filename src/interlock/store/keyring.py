"""The signing keys of one environment (H2): ES256, sealed at rest, published as a JWKS, rotated gaplessly.

The newest key whose `signs_at` has come signs. A key that was replaced verifies until `retires_at`: the
longest life of a token plus the allowed skew after its successor began to sign. A revoked key verifies
nothing. The master key that seals the private keys is a file that only its owner can read, or a setting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import msgspec
import sqlalchemy as sa
from joserfc import jws
from joserfc.jwk import ECKey

from interlock.core.model import Json
from interlock.core.token import Refused
from interlock.errors import NotFound, StateConflict, StoreError
from interlock.settings import Settings
from interlock.store.database import Store, Transaction
from interlock.store.master_key import Seal, master_key
from interlock.store.news import Topic
from interlock.store.schema import signing_keys
from interlock.store.signature import ALGORITHM, read_header, verify_compact
from interlock.store.signing_keys import RETIRE_AFTER, SigningKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The content of a token whose signature holds."""

    kid: str
    claims: Mapping[str, Json]


class Keyring:
    """The environment's keys in memory. Every change is committed first and appears here on commit."""

    def __init__(self, *, environment: str, now: Callable[[], int], seal: Seal) -> None:
        self.environment = environment
        self._now = now
        self._seal = seal
        self._keys: dict[str, SigningKey] = {}

    @classmethod
    async def open(cls, store: Store, settings: Settings) -> Keyring:
        """Load the keys of the environment, making the first one on a new store.

        Raises `StoreError` when the master key is missing, readable by others, or not the one that
        sealed the stored keys.
        """
        of_environment = signing_keys.c.environment == settings.environment
        count = sa.select(sa.func.count()).select_from(signing_keys).where(of_environment)
        sealed = await store.read(lambda connection: connection.execute(count).scalar_one())
        seal = Seal(master_key(settings, made=not sealed))
        ring = cls(environment=settings.environment, now=store.now, seal=seal)
        await store.transact(ring._load_or_make)
        return ring

    async def reload(self, store: Store) -> None:
        """Know the keys as they are on disk: another process may have changed them."""
        self._replace(await store.read(self._read))

    def sign(self, claims: Mapping[str, Json], *, typ: str) -> str:
        """Return `claims` as a compact JWS of type `typ`, signed by the current key."""
        key = self.current()
        header = {"alg": ALGORITHM, "typ": typ, "kid": key.kid}
        return jws.serialize_compact(header, msgspec.json.encode(claims), key.private, [ALGORITHM])

    def verify(self, token: str, *, typ: str) -> Verified | Refused:
        """Return the content of a token of this environment, or why its signature is not believed."""
        header = read_header(token)
        if isinstance(header, Refused):
            return header
        if header.get("typ") != typ:
            return Refused(code="wrong_type", message=f"The token is not of type {typ}.")
        key = self._keys.get(cast("str", header["kid"]))
        if key is None:
            return Refused(
                code="unknown_key", message="The token is signed by a key this environment does not have."
            )
        if key.revoked_at is not None:
            return Refused(code="revoked_key", message="The key that signed the token has been revoked.")
        if not key.verifies(self._now()):
            return Refused(code="retired_key", message="The key that signed the token has been retired.")
        claims = verify_compact(token, key.verifier)
        return claims if isinstance(claims, Refused) else Verified(kid=key.kid, claims=claims)

    def current(self) -> SigningKey:
        """Return the key that signs now. Raises `StoreError` when every key is revoked."""
        now = self._now()
        able = [key for key in self._keys.values() if key.signs(now)]
        if not able:
            raise StoreError(
                "No signing key of this environment is usable.", hint="interlock token rotate-keys"
            )
        return max(able, key=lambda key: (key.signs_at, key.kid))

    def known(self) -> list[SigningKey]:
        """Return all keys known, oldest first."""
        return sorted(self._keys.values(), key=lambda key: (key.created_at, key.signs_at, key.kid))

    def jwks(self) -> dict[str, Json]:
        """Return the JSON Web Key Set that verifiers fetch: every key that verifies now or will."""
        now = self._now()
        return {"keys": [dict(key.public) for key in self.known() if key.verifies(now)]}

    def rotate(self, transaction: Transaction, *, publish_ahead: int) -> str:
        """Make the next key, which signs `publish_ahead` microseconds from now; return its kid.

        The keys before it retire the longest token life plus skew after that. Raises `StateConflict`
        while a key already waits to sign.
        """
        if any(
            key.signs_at > transaction.now and key.verifies(transaction.now) for key in self._keys.values()
        ):
            raise StateConflict(
                "The next key is published already and does not sign yet.",
                hint="Wait until it signs, then rotate again.",
            )
        return self._make(transaction, signs_at=transaction.now + publish_ahead)

    def revoke(self, transaction: Transaction, kid: str) -> None:
        """Stop believing a key at once; if it was the one that signs, a new one signs from now on.

        Raises `NotFound`, or `StateConflict` when it is revoked already.
        """
        key = self._keys.get(kid)
        if key is None:
            raise NotFound(f"There is no signing key {kid!r}.", hint="See /.well-known/jwks.json")
        if key.revoked_at is not None:
            raise StateConflict(f"The key {kid} is revoked already.")
        now = transaction.now
        transaction.execute(sa.update(signing_keys).where(signing_keys.c.kid == kid).values(revoked_at=now))
        if not any(other.kid != kid and other.signs(now) for other in self._keys.values()):
            self._make(transaction, signs_at=now)
        self._refresh_on_commit(transaction)

    def _load_or_make(self, transaction: Transaction) -> None:
        self._keys = self._read(transaction.connection)
        if not any(key.verifies(transaction.now) for key in self._keys.values()):
            self._make(transaction, signs_at=transaction.now)

    def _make(self, transaction: Transaction, *, signs_at: int) -> str:
        private = ECKey.generate_key("P-256", private=True)
        kid = f"{self.environment}-{transaction.ids.new('key')}"
        public = {**private.as_dict(private=False), "kid": kid, "use": "sig", "alg": ALGORITHM}
        transaction.execute(
            sa.update(signing_keys)
            .where(signing_keys.c.environment == self.environment, signing_keys.c.retires_at.is_(None))
            .values(retires_at=signs_at + RETIRE_AFTER)
        )
        transaction.execute(
            sa.insert(signing_keys).values(
                kid=kid,
                environment=self.environment,
                public_jwk=msgspec.json.encode(public).decode(),
                private_enc=self._seal.closed(private.as_der(private=True), kid),
                created_at=transaction.now,
                signs_at=signs_at,
            )
        )
        transaction.audit("key.created", body={"kid": kid, "signs_at": signs_at})
        self._refresh_on_commit(transaction)
        return kid

    def _refresh_on_commit(self, transaction: Transaction) -> None:
        """Read the keys as this transaction leaves them, and use them once it is committed."""
        keys = self._read(transaction.connection)
        transaction.tell(Topic.KEYS, environment=self.environment)
        transaction.on_commit(lambda: self._replace(keys))

    def _replace(self, keys: dict[str, SigningKey]) -> None:
        self._keys = keys

    def _read(self, connection: sa.Connection) -> dict[str, SigningKey]:
        rows = connection.execute(
            sa.select(signing_keys).where(signing_keys.c.environment == self.environment)
        )
        return {row["kid"]: self._key(row) for row in rows.mappings()}

    def _key(self, row: sa.RowMapping) -> SigningKey:
        public = msgspec.json.decode(row["public_jwk"], type=dict[str, str | list[str]])
        return SigningKey(
            kid=row["kid"],
            public=public,
            created_at=row["created_at"],
            signs_at=row["signs_at"],
            retires_at=row["retires_at"],
            revoked_at=row["revoked_at"],
            private=ECKey.import_key(self._seal.opened(row["private_enc"], row["kid"])),
            verifier=ECKey.import_key({**public}),
        )
