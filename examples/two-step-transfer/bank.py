"""A bank that transfers in two steps: `python bank.py FILE` writes what it does to FILE."""

import sys
from pathlib import Path

from mcp.server import MCPServer

ledger = Path(sys.argv[1])
server = MCPServer("bank")


def note(line: str) -> None:
    """Write a line, unless it is there: no step does anything when it is asked for again."""
    known = ledger.read_text().splitlines() if ledger.exists() else []
    if line not in known:
        with ledger.open("a") as file:
            file.write(f"{line}\n")


@server.tool()
def transfer(to: str, cents: int) -> dict[str, str]:
    """Set money aside for somebody."""
    note(f"held {cents} for {to}")
    return {"hold": to}


@server.tool()
def capture(hold: str) -> dict[str, str]:
    """Let money go that was set aside."""
    note(f"paid {hold}")
    return {"hold": hold}


@server.tool()
def release(hold: str) -> dict[str, str]:
    """Give back what was set aside."""
    note(f"gave back what was held for {hold}")
    return {"hold": hold}


server.run("stdio")
