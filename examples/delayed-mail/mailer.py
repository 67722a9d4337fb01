"""A mail server for agents: `python mailer.py FILE` writes what it sends to FILE."""

import sys
from pathlib import Path

from mcp.server import MCPServer

outbox = Path(sys.argv[1])
server = MCPServer("mail")


@server.tool()
def send(to: str, text: str) -> dict[str, str]:
    """Send a mail, which nobody can call back."""
    with outbox.open("a") as file:
        file.write(f"{to}: {text}\n")
    return {"sent": to}


server.run("stdio")
