"""A live MCP server's tools as unmapped entries of a manifest, to be filled in by a person.

What the server says is untrusted: names are quoted, descriptions become capped comments with control
characters shown, and nothing a server claims about itself sets a tier.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import shlex
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, cast
from urllib.parse import urlsplit

from interlock.errors import InterlockError, UpstreamUnavailable, UsageError

TIMEOUT = 60.0
MAX_TOOLS = 1000
_NAME = re.compile(r"[!-~]{1,128}")
_SHOWN = 200
_NO_SERVER = "Does the command start an MCP server that speaks over stdio?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One tool as its server describes it; nothing in it is trusted."""

    name: str
    description: str
    arguments: tuple[str, ...]


def list_tools(place: str) -> list[Listed]:
    """Return the tools of the MCP server at a URL or started by a command.

    Raises `UpstreamUnavailable` when it cannot be reached or does not answer in a minute.
    """
    try:
        return asyncio.run(asyncio.wait_for(_list(place), TIMEOUT))
    except TimeoutError:
        raise UpstreamUnavailable(f"The server did not answer within {TIMEOUT:.0f} seconds.") from None
    except InterlockError:
        raise
    except Exception as error:
        hint = "Is this the whole URL of an MCP server? Many end in /mcp." if _is_url(place) else _NO_SERVER
        raise UpstreamUnavailable(
            f"The server could not be asked for its tools: {_clean(str(_cause(error)))}.", hint=hint
        ) from error


async def _list(place: str) -> list[Listed]:
    from mcp import Client, StdioServerParameters

    logging.getLogger("mcp").setLevel(logging.CRITICAL)  # what goes wrong is in our own error
    if _is_url(place):
        client = Client(place)
    else:
        program, *arguments = _words(place)
        client = Client(StdioServerParameters(command=program, args=arguments))
    found: list[Listed] = []
    async with client:
        cursor: str | None = None
        while len(found) < MAX_TOOLS:
            page = await client.list_tools(cursor=cursor)
            for tool in page.tools:
                properties: Any = tool.input_schema.get("properties")
                names = tuple(cast("dict[str, Any]", properties)) if isinstance(properties, dict) else ()
                found.append(Listed(name=tool.name, description=tool.description or "", arguments=names))
            cursor = page.next_cursor
            if cursor is None:
                break
    return found[:MAX_TOOLS]


def server_name(place: str) -> str:
    """Return a name for the server: its host, its module, or the word of its command that says mcp."""
    named = _host(place) if _is_url(place) else _program(_words(place))
    return re.sub(r"[^A-Za-z0-9_-]+", "-", named).strip("-_")[:63] or "server"


def _host(url: str) -> str:
    """Return the host of a URL; an address says nothing to a reader, so its port does."""
    at = urlsplit(url)
    host = at.hostname or ""
    numeric = host == "localhost" or host.replace(".", "").isdigit() or ":" in host
    return f"local-{at.port}" if numeric and at.port else host


def _program(words: list[str]) -> str:
    if "-m" in words[:-1]:
        return words[words.index("-m") + 1].rpartition(".")[2]
    plain = [PurePath(each).stem for each in words if not each.startswith("-")]
    return next((each for each in reversed(plain) if "mcp" in each.lower()), plain[0])


def manifest_of(server: str, place: str, tools: list[Listed]) -> str:
    """Return a manifest with the server and one unmapped entry for each tool."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", server):
        raise UsageError(
            f"{server!r} is no name for a server.", hint="Use letters, digits, - and _: --name NAME"
        )
    parts = [_server(server, place), *(_entry(server, tool) for tool in tools)]
    return "---\n".join(parts)


def _server(server: str, place: str) -> str:
    if _is_url(place):
        reached = f"  transport: http\n  url: {json.dumps(place)}\n"
    else:
        reached = f"  transport: stdio\n  command: {json.dumps(_words(place))}\n"
    return (
        "# Tools of a live server, not mapped yet. Fill in every TODO; until then a tool counts as\n"
        "# high_blast_radius, and in production it cannot be called.\n"
        "apiVersion: interlock/v1\nkind: ToolServer\n"
        f"metadata: {{name: {server}}}\nspec:\n{reached}"
        "  source: unknown # TODO internal | web | email | ticket | file: where its output comes from\n"
    )


def _entry(server: str, tool: Listed) -> str:
    if not _NAME.fullmatch(tool.name):
        return f"# left out: a tool with a name that is not printable ASCII: {_clean(tool.name)}\n"
    arguments = ", ".join(_clean(each) for each in tool.arguments[:20]) or "none"
    return (
        f"apiVersion: interlock/v1\nkind: Tool\nmetadata: {{name: {json.dumps(f'{server}.{tool.name}')}}}\n"
        f"# The server says: {_clean(tool.description) or 'nothing'}\n"
        f"# Arguments: {arguments}\n"
        "spec: {}\n"
        "# TODO tier: read_only | limited_write | high_blast_radius\n"
        "# TODO effect: read | idempotent | probeable | once\n"
        "# TODO blast_radius: {widest_scope: TODO, impact: TODO, reversible: TODO}\n"
        "# TODO undo or delay, if it writes\n"
    )


def _clean(text: str) -> str:
    cut = text[:_SHOWN] + ("…" if len(text) > _SHOWN else "")
    return " ".join("".join(each if each.isprintable() else " " for each in cut).split())


def _is_url(place: str) -> bool:
    return place.startswith(("http://", "https://"))


def _words(place: str) -> list[str]:
    try:
        words = shlex.split(place)
    except ValueError as error:
        raise UsageError(f"The command cannot be read: {error}.") from None
    if not words:
        raise UsageError("Name a URL or a command after --from-mcp.")
    return words


def _cause(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error
