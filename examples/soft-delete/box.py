"""A box of files with a bin: `python box.py FOLDER`. Each tool does no harm when it is called again."""

import sys
from pathlib import Path

from mcp.server import MCPServer

files = Path(sys.argv[1])
binned = files / ".bin"
binned.mkdir(parents=True, exist_ok=True)
server = MCPServer("box")


def move(name: str, source: Path, target: Path) -> dict[str, str]:
    file = source / Path(name).name
    if file.exists():
        file.rename(target / file.name)
    return {"name": name}


@server.tool()
def trash(name: str) -> dict[str, str]:
    """Put a file into the bin."""
    return move(name, files, binned)


@server.tool()
def restore(name: str) -> dict[str, str]:
    """Take a file out of the bin."""
    return move(name, binned, files)


@server.tool()
def purge(name: str) -> dict[str, str]:
    """Delete a file of the bin for good."""
    (binned / Path(name).name).unlink(missing_ok=True)
    return {"name": name}


server.run("stdio")
