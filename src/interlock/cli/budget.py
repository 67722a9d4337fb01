"""`interlock budget`: what was spent, by whom and on what."""

from __future__ import annotations

import typer

from interlock.cli import budget_reconcile, budget_report

app = typer.Typer(name="budget", help="Budgets and what was spent.", no_args_is_help=True)
app.command("report")(budget_report.report)
app.command("reconcile")(budget_reconcile.reconcile)
