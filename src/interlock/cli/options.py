"""Options that mean the same in every command that has them."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Before = Annotated[str, typer.Option(help='The page that follows: "next" of the page before.')]
Limit = Annotated[int, typer.Option(min=1, max=500, help="At most so many.")]
