"""What a workflow may do at all: its grants (A3). No grant, or one that is not clearly met, is a denial."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from interlock.core.document.workflow import Grant
from interlock.core.model import Capability
from interlock.core.policy.condition import Clause, Setting, compile_conditions
from interlock.core.policy.flaw import Flaws
from interlock.core.policy.glob import compile_glob

_DECODINGS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledGrant:
    """One granted tool. `max_calls` counts calls of one run; the caller reserves each before it is sent."""

    tool: str
    where: tuple[Clause, ...]
    max_calls: int | None = None


def compile_grant(grant: Grant, flaws: Flaws, setting: Setting) -> CompiledGrant:
    """Compile one grant; note every flaw."""
    if grant.max_calls is not None and grant.max_calls < 0:
        flaws.at("max_calls").add("max_calls is a whole number of zero or more")
    clauses = compile_conditions(grant.where, flaws.at("where"), setting)
    return CompiledGrant(tool=grant.tool, where=clauses, max_calls=grant.max_calls)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledCapabilities:
    """What a workflow may use beside tools: named resources and prompts (globs), and three switches."""

    resources: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    switches: frozenset[Capability] = frozenset()

    def permit(self, capability: Capability, name: str) -> bool:
        """Whether the workflow has this capability, for `name` where it is a resource or a prompt."""
        patterns: Mapping[Capability, tuple[str, ...]] = {
            Capability.RESOURCE: self.resources,
            Capability.PROMPT: self.prompts,
        }
        if capability not in patterns:
            return capability in self.switches
        if capability is Capability.RESOURCE and wanders(name):
            return name in self.resources
        return any(compile_glob(pattern)(name) for pattern in patterns[capability])


def wanders(uri: str) -> bool:
    """Whether a URI may lead elsewhere than it reads: dot segments in any spelling, or control characters.

    Servers resolve them, some after decoding more than once; a pattern looks at the text alone.
    """
    for _ in range(_DECODINGS):
        decoded = unquote(uri)
        if decoded == uri:
            break
        uri = decoded
    else:
        return True
    uri = unicodedata.normalize("NFKC", uri)
    segments = uri.replace("\\", "/").split("/")
    return any(each.partition(";")[0] in (".", "..") for each in segments) or any(each < " " for each in uri)
