"""Every command, in the order in which `interlock --help` lists them."""

from __future__ import annotations

import typer

from interlock.cli import (
    actions,
    agents,
    alerts,
    apply,
    approvals,
    audit,
    blast_radius,
    budget,
    changes,
    demo,
    doctor,
    incidents,
    init,
    kill,
    mcp,
    plan,
    policy,
    prices,
    run,
    runs,
    schema,
    serve,
    signals,
    token,
    tools,
    validate,
)


def add_all(app: typer.Typer) -> None:
    """Add every command to `app`."""
    app.command("init")(init.init)
    app.command("schema")(schema.schema)
    app.command("validate")(validate.validate)
    app.command("plan")(plan.plan)
    app.command("apply")(apply.apply)
    app.command("serve")(serve.serve)
    app.command("run")(run.run)
    app.command("mcp")(mcp.mcp)
    app.command("demo")(demo.demo)
    app.command("doctor")(doctor.doctor)
    app.command("blast-radius")(blast_radius.blast_radius)
    app.add_typer(changes.app, name="changes")
    app.add_typer(policy.app, name="policy")
    app.add_typer(runs.app, name="runs")
    app.add_typer(approvals.app, name="approvals")
    app.add_typer(actions.app, name="actions")
    app.add_typer(audit.app, name="audit")
    app.add_typer(agents.app, name="agents")
    app.add_typer(kill.app, name="kill")
    app.add_typer(alerts.app, name="alerts")
    app.add_typer(incidents.app, name="incidents")
    app.add_typer(token.app, name="token")
    app.add_typer(tools.app, name="tools")
    app.add_typer(budget.app, name="budget")
    app.add_typer(prices.app, name="prices")
    app.add_typer(signals.app, name="signals")
