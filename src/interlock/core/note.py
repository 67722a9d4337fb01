"""What whoever applies documents should know, though nothing is wrong with them (A3, H2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from interlock.core.change import effective
from interlock.core.document.identity import Agent, Organisation, Team
from interlock.core.document.kind import AnyDocument
from interlock.core.document.provider import Provider
from interlock.core.document.tool import Tool, ToolServer
from interlock.core.document.workflow import Workflow
from interlock.core.model import DAY

_WARN_BEFORE = 30 * DAY
_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})


def notes(
    old: Iterable[AnyDocument], new: Iterable[AnyDocument], *, environment: str, now: int
) -> tuple[str, ...]:
    """Return what whoever applies `new` should know."""
    declared = tuple(new)
    after = effective(declared, environment)
    said: list[str] = []
    if elsewhere := len(declared) - len(after):
        said.append(f"{elsewhere} document(s) are for other environments and are left out here")
    said += _unretired(old, after)
    for each in after:
        if isinstance(each, ToolServer | Provider):
            said += _expiry(each, now)
        if isinstance(each, Provider):
            said += _in_clear(each)
        if isinstance(each, Workflow) and not _limited(each, after):
            said.append(f"workflow {each.name} may call models, and no budget limits what they cost")
    return (*said, *(_unmapped(after) if environment == "production" else ()))


def _unretired(old: Iterable[AnyDocument], after: Iterable[AnyDocument]) -> Iterator[str]:
    staying = {each.name for each in after if isinstance(each, Agent)}
    for each in old:
        if isinstance(each, Agent) and each.name not in staying:
            yield (
                f"agent {each.name} is no longer declared, but its identity is not retired: "
                f"interlock agents retire {each.name}"
            )


def _unmapped(after: Iterable[AnyDocument]) -> Iterator[str]:
    granted = {grant.tool for each in after if isinstance(each, Workflow) for grant in each.tools}
    mapped = {each.name for each in after if isinstance(each, Tool) and each.mapped}
    for tool in sorted(granted - mapped):
        yield f"tool {tool} is not mapped, so it cannot be called here"


def _limited(workflow: Workflow, documents: Iterable[AnyDocument]) -> bool:
    """Whether the workflow calls no model, or pays into some budget: its own or one above it."""
    if not (workflow.models.pin or workflow.models.allow):
        return True
    return any(
        each.budget is not None
        for each in documents
        if (isinstance(each, Workflow) and each.name == workflow.name)
        or (isinstance(each, Agent) and each.name == workflow.agent)
        or (isinstance(each, Team) and workflow.owner in each.members)
        or isinstance(each, Organisation)
    )


def _expiry(holder: ToolServer | Provider, now: int) -> list[str]:
    expires, whose = holder.credentials.expires, f"the credentials of {_called(holder)}"
    if expires is None or expires - now > _WARN_BEFORE:
        return []
    if expires <= now:
        return [f"{whose} have expired: its calls are refused"]
    return [f"{whose} expire in {(expires - now) // DAY} day(s)"]


def _called(holder: ToolServer | Provider) -> str:
    return f"{'tool server' if isinstance(holder, ToolServer) else 'provider'} {holder.name}"


def _in_clear(provider: Provider) -> list[str]:
    """Return a note where a credential would cross a network that is not this machine's unencrypted."""
    given = provider.credentials.api_key or provider.credentials.headers
    if not given or not provider.base_url.startswith("http://"):
        return []
    if urlsplit(provider.base_url).hostname in _THIS_MACHINE:
        return []
    return [f"the credentials of provider {provider.name} are sent unencrypted: its base_url is http"]
