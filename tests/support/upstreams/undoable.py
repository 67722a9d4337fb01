"""A tool server that adds and drops things, knows its calls by their keys, and is slow to answer a drop.

`python undoable.py FILE GATE`: stdio, the legacy era, no SDK. What it does goes to FILE, one line each; what
it was asked for twice as well, with the word `again`. A drop is answered when GATE exists.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

FILE, GATE = Path(sys.argv[1]), Path(sys.argv[2])
NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def call(params: dict[str, Any]) -> dict[str, Any]:
    """Do what was asked, once for each key."""
    name, number = params["name"], params["arguments"]["n"]
    line = f"{name} {number} {params['_meta']['interlock/idempotencyKey']}"
    known = FILE.read_text().splitlines() if FILE.exists() else []
    with FILE.open("a") as file:
        file.write(f"again {line}\n" if line in known else f"{line}\n")
    while name == "drop" and not GATE.exists():
        time.sleep(0.01)
    return {"content": [{"type": "text", "text": "done"}]}


def answer(request: dict[str, Any]) -> dict[str, Any] | None:
    match request.get("method"):
        case "initialize":
            return {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "undoable", "version": "1"},
            }
        case "tools/list":
            return {"tools": [{"name": name, "inputSchema": NUMBER} for name in ("add", "drop")]}
        case "tools/call":
            return call(request["params"])
        case "ping":
            return {}
        case _:
            return None


for line in sys.stdin.buffer:
    message = json.loads(line)
    if "id" not in message:
        continue
    result = answer(message)
    reply = {"jsonrpc": "2.0", "id": message["id"]}
    reply |= (
        {"error": {"code": -32601, "message": "Method not found"}} if result is None else {"result": result}
    )
    sys.stdout.write(json.dumps(reply) + "\n")
    sys.stdout.flush()
