"""What `interlock doctor` says of model providers: what would fail a call before it is sent (B8, H2)."""

from __future__ import annotations

from typing import Any


def provider_checks(providers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the checks of the declared providers; none where none is declared."""
    if not providers:
        return []
    warnings = [str(each["warning"]) for each in providers if each["warning"]]
    unset = [f"{each['provider']} needs {', '.join(each['unset'])}" for each in providers if each["unset"]]
    unpriced = [
        f"{each['provider']}/{model['model']}"
        for each in providers
        for model in each["models"]
        if model["price"] is None
    ]
    count = f"{len(providers)} provider(s)"
    advice = "declare a price, 0 for a model of your own"
    return [
        {
            "check": "no credential of a model provider has expired",
            "ok": not any(each["expired"] for each in providers),
            "detail": " ".join(warnings) or count,
        },
        {
            "check": "every secret of a model provider is set where the server runs",
            "ok": not unset,
            "detail": "; ".join(unset) or count,
        },
        {
            "check": "every model has a price or a ceiling",
            "ok": not unpriced,
            "detail": f"{', '.join(unpriced)}: {advice}" if unpriced else count,
        },
    ]
