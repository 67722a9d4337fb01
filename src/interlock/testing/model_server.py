"""The scripted model server as a program, with a script from a file.

`python -m interlock.testing.model_server --port 8000 --script replies.json`
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interlock.testing.model_reply import Reply, ToolCall, UsageAt
from interlock.testing.model_socket import ModelServer


def load_script(path: Path) -> list[Reply]:
    """Read a script: a JSON list of objects with the fields of `Reply`. Raises `ValueError`."""
    return [_reply(each) for each in json.loads(path.read_text())]


def _reply(said: Mapping[str, Any]) -> Reply:
    fields = dict(said)
    fields["tool_calls"] = tuple(ToolCall(**call) for call in fields.get("tool_calls", ()))
    if "usage" in fields:
        fields["usage"] = UsageAt(fields["usage"])
    if "raw" in fields:
        fields["raw"] = str(fields["raw"]).encode()
    return Reply(**fields)


def main() -> None:
    """Serve a script until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m interlock.testing.model_server", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--script", type=Path, help="JSON list of replies; the last is said again and again")
    parser.add_argument("--model", action="append", help="a model to list; may be given several times")
    given = parser.parse_args()
    script = load_script(given.script) if given.script else []
    server = ModelServer(script, models=given.model or ("gpt-test",), port=given.port)
    server.serve_forever(lambda url: print(f"model server on {url}", file=sys.stderr, flush=True))  # noqa: T201


if __name__ == "__main__":
    main()
