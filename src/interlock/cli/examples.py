"""An example of each command as somebody would type it, shown at the end of its help and in the reference.

They stand together so that they can be read as one story, and so that a test can parse every one of them.
"""

from __future__ import annotations

import shlex
from functools import cache

import typer

_EXAMPLES = """
interlock init --from-mcp "npx -y @acme/payments-mcp"
interlock schema > interlock.schema.json
interlock validate manifest/ --environment production
interlock plan manifest/ --detailed-exitcode
interlock apply manifest/ --yes
interlock serve --environment staging --port 8080
interlock run refunds -- python agent.py
interlock mcp --workflow refunds
interlock demo --once
interlock doctor --workflow refunds
interlock blast-radius refunds --file manifest/ --markdown

interlock changes list --all
interlock changes show chg_01
interlock changes approve chg_01 --reason "agreed with finance"
interlock changes reject chg_01 --reason "the limit is too high"
interlock policy explain refunds payments.refund --args '{"amount_cents": 90000}'
interlock policy test refunds.test.yaml
interlock runs list --workflow refunds --state open
interlock runs show run_01
interlock runs end run_01 --reason "the agent loops"
interlock runs score run_01 0.93 --key judged-1 --source judge --evaluator judge@3
interlock approvals list --watch
interlock approvals digest
interlock approvals show apr_01 --wait 30
interlock approvals approve apr_01 --reason "the charge was a double"
interlock approvals modify apr_01 --arguments '{"amount_cents": 500}' --reason "the fee only"
interlock approvals reject apr_01 --reason "not this customer"
interlock approvals answer apr_02 "the address in the contract is right"
interlock actions list --state in_doubt
interlock actions show act_01
interlock actions cancel act_01 --reason "sent by hand"
interlock actions settle act_01 --reason "the payee was called back"
interlock actions void act_01 --reason "the payee is not known"
interlock actions follow-up act_02 --reason "the retention time is over"
interlock actions resolve act_01 --happened --reason "found in the bank's list"
interlock actions deliveries --state given_up
interlock actions redeliver dlv_01 --reason "the receiver was down for two days"
interlock tools exercise-undo shop.refund --arguments refund.json
interlock undo show act_01
interlock undo action act_01 --reason "the wrong order"
interlock undo run run_01 --reason "it read a forged ticket"
interlock undo stop act_01 --reason "the customer keeps it"
interlock undo done act_01 --reason "taken back in the shop's own console"
interlock audit list --kind call.denied --since 2026-11-22
interlock audit show run_01
interlock audit export --output audit.jsonl
interlock audit verify --export audit.jsonl
interlock audit checkpoint
interlock agents list --state active
interlock agents show refund-bot
interlock agents enroll refund-bot --new-key refund-bot.jwk
interlock agents suspend refund-bot --reason "odd refunds since noon"
interlock agents resume refund-bot --reason "it was the price list"
interlock agents retire refund-bot --reason "replaced by refund-bot-2"
interlock kill agent refund-bot --reason "refunds to one account" --level freeze
interlock kill workflow refunds --reason "the price list is wrong" --level pause
interlock kill tool payments.refund --reason "the provider pays twice"
interlock kill run run_01 --reason "it loops"
interlock kill environment staging --reason "a load test"
interlock kill all --reason "keys were published" --offline
interlock kill list
interlock kill show kill_01
interlock kill resume kill_01 --reason "the account is closed"
interlock breaker list
interlock breaker show tool:payments.refund
interlock breaker trip workflow:refunds --reason "two refunds to one account"
interlock breaker sign-off tool:payments.refund --to half-open --reason "the provider is back"
interlock autonomy show refunds payments.refund
interlock autonomy propose refunds payments.refund
interlock autonomy promote refunds payments.refund --reason "300 clean refunds in a row"
interlock autonomy demote refunds payments.refund --reason "the price list is wrong"
interlock autonomy history refunds
interlock digest list --owner maria
interlock digest show dig_01
interlock digest mark act_01 reverse --reason "the wrong customer"
interlock alerts list --kind budget.soft
interlock alerts show evt_01
interlock alerts rules
interlock alerts deliveries --state given_up
interlock incidents list
interlock incidents show inc_01
interlock incidents close inc_01 --reason "the price list is mended"
interlock deployments list --workflow refunds
interlock deployments register refunds --code 3f9c2ab
interlock deployments stable dep_01 --reason "two weeks without an incident"
interlock rollback code refunds --reason "it mails the wrong customers"
interlock rollback list
interlock rollback state rev_01
interlock rollback keep rev_01 act_01 --reason "the customer was told"
interlock rollback undo rev_01 --all --reason "wrong customers"
interlock token login --person maria
interlock token create --label ci --role viewer --days 30
interlock token list --all
interlock token revoke tok_01
interlock token passwd
interlock token keys
interlock token rotate-keys --publish-ahead 3600
interlock token revoke-key dev-key_01 --reason "it was in a backup that was lost"
interlock tools list
interlock tools servers
interlock tools pins
interlock tools accept payments.refund --reason "the new field is optional"
interlock budget show --kind workflow --name refunds
interlock budget explain run_01
interlock budget history --kind team
interlock budget uncharge dev:workflow:day:0:refunds --keep 0.11 --reason "the bill"
interlock budget report --by team,model --since 30d
interlock budget reconcile invoice.csv --provider openai
interlock prices list --provider openai --model mini
interlock prices diff
interlock prices history openai gpt-5.5
interlock prices update --yes
interlock signals context refunds
"""


@cache
def examples() -> dict[tuple[str, ...], str]:
    """Return each example by the two words that follow `interlock` in it."""
    return {tuple(shlex.split(line)[1:3]): line for line in _EXAMPLES.splitlines() if line}


def add_examples(app: typer.Typer, path: tuple[str, ...] = ()) -> None:
    """Show its example at the end of the help of each command below `app`."""
    known = examples()
    for command in app.registered_commands:
        words = (*path, str(command.name or getattr(command.callback, "__name__", "")))
        found = next((line for key, line in known.items() if key[: len(words)] == words), None)
        command.epilog = f"Example: {found}" if found else None
    for group in app.registered_groups:
        if group.typer_instance is not None:
            add_examples(group.typer_instance, (*path, str(group.name)))
