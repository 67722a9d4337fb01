"""Registering tools and noticing when they change (invariant 2): the pin of each tool the manifest names.

The first listing after an apply registers a tool: a hash over name, description and input schema, audited.
Later a different one disables it until a person accepts it, because accepting may widen what a call can do.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import jsonschema_rs

from interlock.core.canonical import NotCanonical, digest
from interlock.core.model import Json, Pin
from interlock.errors import NotFound, StateConflict, UsageError
from interlock.runtime import Runtime
from interlock.store import pins
from interlock.store.database import Store
from interlock.store.memory import Memory, SchemaCheck
from interlock.store.pins import PinnedTool
from interlock.store.transaction import Transaction
from interlock.upstream.declared import DeclaredServers

_BACKTRACK = 100_000
_LONGEST_NAME = 128


@dataclass(frozen=True, slots=True)
class Registrar:
    """Keeps the pins of this environment in step with what the tool servers list.

    `results` are the schemas of results that are on disk, by tool.
    """

    store: Store
    memory: Memory
    servers: DeclaredServers
    runtime: Runtime
    results: dict[str, Json] = field(default_factory=dict[str, Json])

    async def start(self) -> None:
        """Load the pins and begin to follow the servers of the bundle in force."""
        await self.reload()
        self.servers.on_change(self._heard)
        self.memory.on_bundle.append(self.bundle_changed)
        self.bundle_changed()

    async def reload(self, tools: Collection[str] | None = None) -> None:
        """Know these tools, or all, as they are registered on disk: another process may have done it."""
        for each in await self.store.read(pins.all_pins):
            if tools is None or each.pin.tool in tools:
                self.memory.set_pin(each.pin, schema_check(each.schema))
                self.results[each.pin.tool] = each.result_schema
        for server in sorted({tool.partition(".")[0] for tool in tools or ()}):
            self.servers.tell(server, "", "interlock/registered", {})

    def bundle_changed(self) -> None:
        """Follow the servers of the new bundle, and register the tools that it names first."""
        bundle = self.memory.bundle
        if bundle is None:
            return
        self.servers.configure(bundle.servers)
        for server in bundle.servers:
            self._spawn(server)

    async def register(self, server: str) -> None:
        """Compare what `server` lists with the pins: register what is new, disable what drifted."""
        listed, bundle = self.servers.tools(server), self.memory.bundle
        if listed is None or bundle is None:
            return
        offered = {f"{server}.{each.get('name')}": each for each in listed}
        moved = {
            tool: definition
            for tool, definition in offered.items()
            if tool in bundle.tools and self._moved(tool, definition)
        }
        if moved:
            await self.store.transact(lambda transaction: self._write(transaction, moved))
        self.servers.tell(server, "", "interlock/registered", {})

    async def look(self, patience: float) -> None:
        """Reach every server, `patience` seconds at most, and register what it lists."""
        await self.servers.reach(patience)
        for server in self.memory.bundle.servers if self.memory.bundle else ():
            await self.register(server)

    async def accept(self, tool: str, *, person: str, reason: str) -> Pin:
        """Register a drifted tool as its server offers it now. Raises `UsageError` where there is none."""
        server, _, name = tool.partition(".")
        if not reason.strip():
            raise UsageError("Accepting a changed tool needs a reason.", hint="Pass --reason.")
        known = self.memory.pins.get(tool)
        if known is None:
            raise NotFound(f"The tool {tool!r} is not registered.", hint="See: interlock tools list")
        listed = self.servers.tools(server) or ()
        definition = next((each for each in listed if each.get("name") == name), None)
        if definition is None:
            raise StateConflict(f"The server {server!r} does not offer {name!r} now.")
        if not known.drifted:
            raise StateConflict(f"The tool {tool!r} has not changed since it was registered.")

        def work(transaction: Transaction) -> Pin:
            body = {"before": known.digest, "after": pin_digest(definition), "reason": reason}
            transaction.audit("tool.accepted", tool=tool, person=person, body=body)
            pins.forget(transaction, tool)
            pin = self._register(transaction, tool, definition)
            if pin is None:
                raise StateConflict(f"The tool {tool!r} was registered by another process just now.")
            return pin

        pin = await self.store.transact(work)
        self.servers.tell(server, "", "interlock/registered", {})
        return pin

    def _heard(self, server: str, run: str, method: str, params: Mapping[str, Json]) -> None:  # noqa: ARG002
        if method == "interlock/listed":
            self._spawn(server)

    def _spawn(self, server: str) -> None:
        self.runtime.scheduler.spawn(self.register(server), name=f"register {server}")

    def _moved(self, tool: str, definition: Mapping[str, Json]) -> bool:
        pin = self.memory.pins.get(tool)
        if pin is None or pin.seen != pin_digest(definition):
            return True
        return self.results.get(tool) != _result_schema(definition)

    def _write(self, transaction: Transaction, moved: Mapping[str, Mapping[str, Json]]) -> None:
        for tool, definition in moved.items():
            known = pins.find_pin(transaction.connection, tool)
            if known is None and self._register(transaction, tool, definition) is not None:
                body = {"pin": pin_digest(definition)}
                transaction.audit("tool.registered", tool=tool, body=body)
                continue
            known = known or pins.find_pin(transaction.connection, tool)
            if known is not None:
                self._see(transaction, known, definition)

    def _register(self, transaction: Transaction, tool: str, definition: Mapping[str, Json]) -> Pin | None:
        schema, result = definition.get("inputSchema"), _result_schema(definition)
        pin = pins.register(
            transaction,
            tool,
            digest=pin_digest(definition),
            name=str(definition.get("name"))[:_LONGEST_NAME],
            description=str(definition.get("description") or ""),
            schema=schema,
            result_schema=result,
        )
        check = schema_check(schema)
        if pin is not None:
            transaction.on_commit(lambda: self.memory.set_pin(pin, check))
            transaction.on_commit(lambda: self.results.update({tool: result}))
        return pin

    def _see(self, transaction: Transaction, known: PinnedTool, definition: Mapping[str, Json]) -> None:
        pin, seen, result = known.pin, pin_digest(definition), _result_schema(definition)
        if known.result_schema != result:
            pins.learn_result(transaction, pin.tool, result)
        transaction.on_commit(lambda: self.results.update({pin.tool: result}))
        if pin.seen == seen:
            return
        kind = "tool.restored" if seen == pin.digest else "tool.drifted"
        transaction.audit(kind, tool=pin.tool, body={"registered": pin.digest, "offered": seen})
        now = pins.see(transaction, pin, seen)
        transaction.on_commit(lambda: self.memory.set_pin(now, None))


def pin_digest(definition: Mapping[str, Json]) -> str:
    """Return the hash of what a tool is: its name, its description, its input schema."""
    said = {key: definition.get(key) for key in ("name", "description", "inputSchema")}
    try:
        return digest(said)
    except NotCanonical:
        return f"not-canonical:{digest(repr(sorted(said.items(), key=lambda each: each[0])))}"


def _result_schema(definition: Mapping[str, Json]) -> dict[str, Json] | None:
    said = definition.get("outputSchema")
    return cast("dict[str, Json]", said) if isinstance(said, dict) else None


def schema_check(schema: Json) -> SchemaCheck:
    """Compile an input schema once; return what says what is wrong with arguments, or None.

    Nothing is fetched for a `$ref`, and no pattern may backtrack without limit. A schema that cannot be
    compiled lets nothing pass.
    """
    try:
        validator = jsonschema_rs.validator_for(
            cast("dict[str, Any]", schema),
            mask="the value",
            retriever=_no_remote,
            pattern_options=jsonschema_rs.FancyRegexOptions(backtrack_limit=_BACKTRACK),
        )
    except (ValueError, TypeError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError):
        return lambda _: "the tool's input schema cannot be used, so nothing can be checked against it"

    def problem(arguments: Mapping[str, Json]) -> str | None:
        try:
            error = next(iter(validator.iter_errors(dict(arguments))), None)
        except (ValueError, RecursionError):
            return "the arguments cannot be checked against the tool's input schema"
        if error is None:
            return None
        place = ".".join(str(each) for each in error.instance_path)
        return f"{place or 'the arguments'}: {error.message}"

    return problem


def _no_remote(uri: str) -> Json:
    raise ValueError(f"a schema may not refer to {uri[:200]}")
