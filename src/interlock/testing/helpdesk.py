"""`python -m interlock.testing.helpdesk --state FILE`: a small help desk as a real MCP server over stdio.

Its tools cover the shapes that a control plane must tell apart: reads, writes with an undo, and calls that
cannot be taken back (mail to many, money). It knows nothing of Interlock.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from mcp.server import MCPServer
from pydantic import Field

from interlock.testing.desk import Desk, State, members, new_id

Result = TypeVar("Result")
Answer = dict[str, Any]
TicketId = Annotated[str, Field(description="Id of a ticket, such as T-1.", pattern=r"^T-[0-9]+$")]
Segment = Annotated[str, Field(description="A customer segment: all, pro, free or eu.")]


class HelpDesk:
    """The tools of the help desk. `pause` is the seconds that a change takes before it happens."""

    def __init__(self, desk: Desk, *, pause: float = 0.0) -> None:
        self._desk = desk
        self._pause = pause

    @property
    def tools(self) -> tuple[Callable[..., Answer], ...]:
        """Every tool, in the order in which it is listed."""
        return (
            self.search_tickets,
            self.get_ticket,
            self.count_customers,
            self.add_note,
            self.remove_note,
            self.close_ticket,
            self.reopen_ticket,
            self.email_customers,
            self.refund,
        )

    def search_tickets(
        self,
        query: Annotated[str, Field(description="Words to find in subject or text; empty finds all.")] = "",
        status: Literal["open", "closed", "any"] = "open",
    ) -> Answer:
        """Find tickets by text and status."""
        found = [
            {"ticket": ticket, "subject": each["subject"], "status": each["status"]}
            for ticket, each in self._desk.read()["tickets"].items()
            if status in {"any", each["status"]}
            and query.lower() in f"{each['subject']} {each['body']}".lower()
        ]
        return {"tickets": found}

    def get_ticket(self, ticket: TicketId) -> Answer:
        """Return one ticket with its text and notes."""
        return {"ticket": ticket, **_ticket(self._desk.read(), ticket)}

    def count_customers(self, segment: Segment) -> Answer:
        """Count the customers that a mail to a segment would reach. Sends nothing."""
        return {"recipients": len(members(self._desk.read(), segment))}

    def add_note(self, ticket: TicketId, text: Annotated[str, Field(max_length=2000)]) -> Answer:
        """Add an internal note to a ticket."""

        def add(state: State) -> Answer:
            note = new_id(state, "N")
            _ticket(state, ticket)["notes"][note] = text
            return {"ticket": ticket, "note": note}

        return self._change("add_note", {"ticket": ticket, "text": text}, add)

    def remove_note(self, note: Annotated[str, Field(description="Id of a note, such as N-7.")]) -> Answer:
        """Remove a note. Removing one that is gone already changes nothing."""

        def remove(state: State) -> Answer:
            removed = [each["notes"].pop(note, None) for each in state["tickets"].values()]
            return {"note": note, "removed": any(each is not None for each in removed)}

        return self._change("remove_note", {"note": note}, remove)

    def close_ticket(self, ticket: TicketId) -> Answer:
        """Close a ticket."""
        return self._set_status("close_ticket", ticket, "closed")

    def reopen_ticket(self, ticket: TicketId) -> Answer:
        """Open a closed ticket again."""
        return self._set_status("reopen_ticket", ticket, "open")

    def email_customers(self, segment: Segment, subject: str, body: str) -> Answer:
        """Send a mail to every customer of a segment. It cannot be called back."""

        def send(state: State) -> Answer:
            recipients = members(state, segment)
            if not recipients:
                raise ValueError(f"No customer is in the segment {segment!r}.")
            mail = new_id(state, "M")
            state["mails"].append({"mail": mail, "to": recipients, "subject": subject, "body": body})
            return {"mail": mail, "sent": len(recipients)}

        return self._change("email_customers", {"segment": segment, "subject": subject, "body": body}, send)

    def refund(
        self,
        ticket: TicketId,
        amount_cents: Annotated[int, Field(ge=1, description="Amount in cents.")],
        currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217 code, such as EUR.")],
    ) -> Answer:
        """Pay money back to the customer of a ticket. It cannot be called back."""

        def pay(state: State) -> Answer:
            customer = _ticket(state, ticket)["customer"]
            refund = new_id(state, "R")
            paid = {"customer": customer, "amount_cents": amount_cents, "currency": currency}
            state["refunds"].append({"refund": refund, "ticket": ticket, **paid})
            return {"refund": refund, "customer": customer}

        arguments = {"ticket": ticket, "amount_cents": amount_cents, "currency": currency}
        return self._change("refund", arguments, pay)

    def _set_status(self, tool: str, ticket: str, status: str) -> Answer:
        def change(state: State) -> Answer:
            _ticket(state, ticket)["status"] = status
            return {"ticket": ticket, "status": status}

        return self._change(tool, {"ticket": ticket}, change)

    def _change(self, tool: str, arguments: dict[str, Any], work: Callable[[State], Result]) -> Result:
        time.sleep(self._pause)
        return self._desk.change(tool, arguments, work)


def _ticket(state: State, ticket: str) -> dict[str, Any]:
    try:
        return state["tickets"][ticket]
    except KeyError:
        raise ValueError(f"There is no ticket {ticket}.") from None


def build(state: Path, *, pause: float = 0.0) -> MCPServer[Any]:
    """Return the help desk on `state` as an MCP server."""
    server: MCPServer[Any] = MCPServer("helpdesk", version="1.0.0", log_level="ERROR")
    for tool in HelpDesk(Desk(state), pause=pause).tools:
        server.add_tool(tool)
    return server


def main() -> None:
    """Serve the help desk over stdio until standard input closes."""
    parser = argparse.ArgumentParser(prog="python -m interlock.testing.helpdesk", description=__doc__)
    parser.add_argument(
        "--state", type=Path, default=Path("desk.json"), help="file that holds the desk; made when missing"
    )
    parser.add_argument("--pause", type=float, default=0.0, help="seconds each change takes")
    options = parser.parse_args()
    build(options.state, pause=options.pause).run("stdio")


if __name__ == "__main__":
    main()
