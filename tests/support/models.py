"""A served Interlock in front of scripted model servers, for real SDK clients."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import openai

from interlock.testing import ModelServer, Received
from support.served import Served, served
from support.warm import PYTHON

OPENAI_MODEL, ANTHROPIC_MODEL = "gpt-test", "claude-test"
PRICE = "{input: 2, output: 8, cache_read: 0.5}"
"""Dollars per million tokens: 2,000, 8,000 and 500 nano-dollars a token."""
_PEOPLE = """
apiVersion: interlock/v1
kind: Person
metadata: {name: maria}
spec: {email: maria@example.com, roles: [admin, agent_owner, approver, operator]}
---
apiVersion: interlock/v1
kind: Agent
metadata: {name: bot}
spec: {owner: maria, purpose: test}
---
"""


def manifest(
    openai_url: str, anthropic_url: str, *, workflow: str = "", provider: str = "", more: str = ""
) -> str:
    """Return a manifest with a provider of each wire format, and the workflow `chat` that may call both.

    `workflow` and `provider` are more lines of their `spec`, in flow form; `more` is further documents.
    """
    return f"""{_PEOPLE}
apiVersion: interlock/v1
kind: Provider
metadata: {{name: acme}}
spec:
  base_url: {openai_url}/v1
  wire_format: openai
  credentials: {{api_key: "secret://env/ACME_KEY", owner: maria, expires: 2099-01-01}}
  models:
    - {{name: {OPENAI_MODEL}, price: {PRICE}, window: 100000, max_output: 4000}}
    - {{name: small-test, price: {{input: 0.2, output: 0.8}}, max_output: 4000}}
  {provider}
---
apiVersion: interlock/v1
kind: Provider
metadata: {{name: claude}}
spec:
  base_url: {anthropic_url}
  wire_format: anthropic
  credentials: {{api_key: "secret://env/CLAUDE_KEY", owner: maria, expires: 2099-01-01}}
  models:
    - {{name: {ANTHROPIC_MODEL}, price: {PRICE}, window: 100000, max_output: 4000}}
---
apiVersion: interlock/v1
kind: Workflow
metadata: {{name: chat}}
spec:
  agent: bot
  owner: maria
  models: {{allow: ["*"]}}
  {workflow}
{more}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Governed:
    """A server, the providers behind it, and the token of a run of `chat`."""

    server: Served
    acme: ModelServer
    claude: ModelServer
    token: str

    @property
    def headers(self) -> dict[str, str]:
        """The credentials of the run, as the OpenAI SDK sends them."""
        return {"Authorization": f"Bearer {self.token}"}

    def openai(self, **settings: Any) -> openai.OpenAI:
        """Return OpenAI's own client."""
        return openai.OpenAI(base_url=f"{self.server.url}/v1", api_key=self.token, **settings)

    def anthropic(self, **settings: Any) -> anthropic.Anthropic:
        """Return Anthropic's own client."""
        return anthropic.Anthropic(base_url=self.server.url, api_key=self.token, **settings)

    def reset(self) -> None:
        """Let both providers say their default, and forget what they received."""
        self.acme.script()
        self.claude.script()

    def sent(self) -> Received:
        """Return the last request that OpenAI's provider received."""
        return self.acme.received[-1]


@contextmanager
def governed(
    data: Path, *, settings: Mapping[str, str] | None = None, python: tuple[str, ...] = PYTHON, **spec: str
) -> Generator[Governed]:
    """Serve two scripted providers behind Interlock until the block ends; `spec` as for `manifest`."""
    keys = {"ACME_KEY": "acme-secret", "CLAUDE_KEY": "claude-secret"}
    with (
        ModelServer(models=(OPENAI_MODEL,)) as acme,
        ModelServer(models=(ANTHROPIC_MODEL,)) as claude,
        served(data, manifest(acme.url, claude.url, **spec), python, **keys, **(settings or {})) as server,
    ):
        yield Governed(server=server, acme=acme, claude=claude, token=server.token("chat"))
