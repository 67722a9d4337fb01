"""What a request carries on the wire in each era of the protocol, and whether its result may stand there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import mcp_types as types
from mcp.shared.inbound import (
    MCP_METHOD_HEADER,
    MCP_NAME_HEADER,
    MCP_PROTOCOL_VERSION_HEADER,
    NAME_BEARING_METHODS,
    encode_header_value,
    mcp_param_headers,
)
from mcp_types import methods
from pydantic import ValidationError

from interlock import __version__
from interlock.core.model import Json
from interlock.errors import InterlockError

CLIENT = types.Implementation(name="interlock", version=__version__)
_CLIENT_JSON = CLIENT.model_dump(by_alias=True, mode="json", exclude_none=True)

Headers = Mapping[str, dict[tuple[str, ...], str]]
"""Which arguments of which tool a modern server wants mirrored, by the path of each, in which header."""


class NotProtocol(InterlockError):
    """The tool server's answer is not what the protocol says."""

    code = "upstream_not_protocol"


def legacy_headers(version: str) -> dict[str, str]:
    """Return the HTTP headers of a request within a session."""
    return {MCP_PROTOCOL_VERSION_HEADER: version}


def modern_headers(version: str, method: str, params: Mapping[str, Any], mirrored: Headers) -> dict[str, str]:
    """Return the HTTP headers of a request of the modern protocol, which name what it is about."""
    headers = {MCP_PROTOCOL_VERSION_HEADER: version, MCP_METHOD_HEADER: method}
    key = "taskId" if method.startswith("tasks/") else NAME_BEARING_METHODS.get(method, "")
    name = params.get(key)
    if isinstance(name, str):
        headers[MCP_NAME_HEADER] = encode_header_value(name)
        if method == "tools/call" and (declared := mirrored.get(name)):
            headers.update(mcp_param_headers(declared, params.get("arguments") or {}))
    return headers


def envelope(
    version: str, params: Mapping[str, Any], capabilities: Mapping[str, Json], log_level: str | None
) -> dict[str, Json]:
    """Return the `_meta` of a request of the modern protocol: who asks, and what it can be asked."""
    meta = dict(cast("Mapping[str, Any]", params.get("_meta") or {}))
    meta[types.PROTOCOL_VERSION_META_KEY] = version
    meta[types.CLIENT_INFO_META_KEY] = _CLIENT_JSON
    meta[types.CLIENT_CAPABILITIES_META_KEY] = dict(capabilities)
    if log_level is not None:
        meta[types.LOG_LEVEL_META_KEY] = log_level
    return meta


def checked(server: str, method: str, version: str, raw: dict[str, Any]) -> dict[str, Json]:
    """Return a result as the server wrote it. Raises `NotProtocol` where the protocol does not allow it."""
    try:
        methods.validate_server_result(method, version, raw)
    except KeyError:
        pass
    except ValidationError as error:
        place = ".".join(str(each) for each in error.errors()[0]["loc"])
        raise NotProtocol(
            f"The tool server {server!r} answered {method} with something the protocol does not "
            f"allow (at {place or 'the top'})."
        ) from error
    return raw
