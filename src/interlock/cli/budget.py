"""`interlock budget`: how budgets stand, and what was spent, by whom and on what."""

from __future__ import annotations

import typer

from interlock.cli import budget_accounts, budget_reconcile, budget_report

app = typer.Typer(name="budget", help="Budgets and what was spent.", no_args_is_help=True)
app.command("show")(budget_accounts.show)
app.command("history")(budget_accounts.history)
app.command("explain")(budget_accounts.explain)
app.command("uncharge")(budget_accounts.uncharge)
app.command("report")(budget_report.report)
app.command("reconcile")(budget_reconcile.reconcile)
