"""`interlock schema`: the JSON Schema of the manifest, for editors and other programs."""

from __future__ import annotations

import json
import sys


def schema() -> None:
    """Print the JSON Schema that every document of a manifest satisfies."""
    from interlock.manifest.schema import json_schema

    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
