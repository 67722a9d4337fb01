"""Every setting, declared once as data: name, default, help. The only reader of the environment."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from interlock.errors import UsageError

PREFIX = "INTERLOCK_"
_HINT = "Every setting is explained in docs/reference/settings.md."
_SOCKET_PATH = 100
_GIVEN = frozenset({"INTERLOCK_MCP_URL", "INTERLOCK_RUN_URL"})
"""What `interlock run` gives to a program that may call us again."""


def _setting(default: Any, help_: str, *, choices: tuple[str, ...] = ()) -> Any:
    return field(default=default, metadata={"help": help_, "choices": choices})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a process is told from outside. Each field is `INTERLOCK_<NAME>` in the environment."""

    data: Path = _setting(Path(".interlock"), "data directory: database, keys, lock and local socket")
    database: str = _setting(
        "", "database URL; empty is SQLite in the data directory, postgresql://… is PostgreSQL"
    )
    environment: str = _setting("dev", "the one environment this process serves")
    role: str = _setting(
        "", "what `serve` does here: gateway, control, worker, comma-separated; empty is all three"
    )
    host: str = _setting("127.0.0.1", "address to listen on")
    port: int = _setting(7411, "port to listen on; 0 takes a free one")
    trusted_proxies: str = _setting(
        "", "addresses of reverse proxies, comma-separated, whose X-Forwarded-For and -Proto are believed"
    )
    issuer: str = _setting("", "issuer of run tokens; empty is urn:interlock:<environment>")
    url: str = _setting("", "the server a command talks to; empty is the local one of the data directory")
    token: str = _setting("", "the personal API token that commands present")
    master_key: str = _setting(
        "", "base64 of the 32 bytes that seal private signing keys; empty is <data>/keys/master.key"
    )
    checkpoints: str = _setting(
        "", "directory for signed audit checkpoints; keep it elsewhere; empty is <data>/checkpoints"
    )
    checkpoint_every: int = _setting(300, "seconds between audit checkpoints")
    inline_wait: int = _setting(
        45, "seconds a call that needs a person is held open before it is answered pending"
    )
    self_approve: bool = _setting(
        False, "let an author approve their own change; honoured in the environment dev only"
    )
    prices_url: str = _setting(
        "https://raw.githubusercontent.com/pydantic/genai-prices/refs/heads/main/prices/new_data/v2/data.json",
        "where `prices diff --latest` gets a price list, in the form of genai-prices",
    )
    max_body: int = _setting(4 * 1024 * 1024, "largest request body in bytes")
    max_model_body: int = _setting(32 * 1024 * 1024, "largest body of a model call in bytes")
    run_limit: int = _setting(86_400, "seconds a run may stay open at most; its tokens never outlive it")
    call_timeout: int = _setting(120, "seconds a tool call may take before its outcome is unknown")
    smtp: str = _setting(
        "",
        "mail server for notices: smtp://user@host:587 (STARTTLS), smtps:// or smtp+plain://; empty is none",
    )
    smtp_password: str = _setting("", "password of the mail server's user")
    smtp_ca: str = _setting("", "file with the authority of the mail server's certificate, if it is your own")
    public_url: str = _setting(
        "", "where people reach this server, such as https://interlock.example.com; notices link to it"
    )
    mail_from: str = _setting("", "sender of notices; empty is interlock@ the mail server's host")
    webhook_key: str = _setting("", "key that signs webhooks of people who declare none of their own")
    notify_private: bool = _setting(
        False, "let webhooks reach loopback and private addresses, and be called without TLS"
    )
    log_level: str = _setting(
        "info", "debug, info, warning or error", choices=("debug", "info", "warning", "error")
    )

    @property
    def database_url(self) -> str:
        """The database this process stands on."""
        return self.database or f"sqlite:///{self.data / 'control.db'}"

    @property
    def issuer_url(self) -> str:
        """The `iss` of this environment's run tokens, which is their audience as well."""
        return self.issuer or f"urn:interlock:{self.environment}"

    @property
    def checkpoint_directory(self) -> Path:
        """Where signed audit checkpoints are written."""
        return Path(self.checkpoints) if self.checkpoints else self.data / "checkpoints"

    @property
    def socket(self) -> Path:
        """The local socket that commands of the same machine use.

        A Unix socket's path holds about 100 bytes; a data directory that lies deeper has its socket in a
        folder of the user's own under the temporary directory.
        """
        path = self.data.absolute() / "control.sock"
        if len(os.fsencode(path)) <= _SOCKET_PATH:
            return path
        name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"interlock-{os.getuid()}-{name}" / "control.sock"


def load(environ: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """Read the settings from `environ` (the process's own by default); `overrides` win.

    Raises `UsageError` naming the variable when a value cannot be read.
    """
    source = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for each in fields(Settings):
        raw = source.get(PREFIX + each.name.upper())
        if raw is not None and raw != "":
            values[each.name] = _read(each.name, raw, each.default, each.metadata["choices"])
    values.update({name: value for name, value in overrides.items() if value is not None})
    return Settings(**values)


def misspelt(environ: Mapping[str, str] | None = None) -> list[str]:
    """Return a warning for each variable that is named like a setting and is none, with a near name (G7)."""
    source = os.environ if environ is None else environ
    known = [PREFIX + each.name.upper() for each in fields(Settings)]
    warnings: list[str] = []
    for name in sorted(each for each in source if each.upper().startswith(PREFIX)):
        if name in known or name in _GIVEN:
            continue
        near = get_close_matches(name.upper(), known, n=1)
        said = f" Did you mean {near[0]}?" if near else ""
        warnings.append(f"{name} is not a setting, so it does nothing.{said}")
    return warnings


def launched_run(environ: Mapping[str, str] | None = None) -> str:
    """Return the address of the run that this program was launched in, or "" where it opens one itself."""
    source = os.environ if environ is None else environ
    return source.get("INTERLOCK_RUN_URL", "")


def child_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what a tool server's process inherits: PATH, HOME and LANG, nothing else (H2)."""
    source = os.environ if environ is None else environ
    return {name: source[name] for name in ("PATH", "HOME", "LANG") if name in source}


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """Where spans are sent, as OpenTelemetry's own variables say it. `timeout` is in seconds."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    resource: Mapping[str, str] = field(default_factory=dict[str, str])
    certificate: str = ""
    timeout: float = 10.0


def collector(environ: Mapping[str, str] | None = None) -> Collector | None:
    """Return the collector that spans are wanted at, None where nobody wants them (C3).

    Raises `UsageError` naming the variable where it says what cannot be done.
    """
    source = os.environ if environ is None else environ
    wanted = source.get("OTEL_TRACES_EXPORTER", "otlp").lower().split(",")
    base = source.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").rstrip("/")
    url = _otlp(source, "ENDPOINT", own=True) or (base and f"{base}/v1/traces")
    if not url or "otlp" not in wanted or source.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if not url.startswith(("http://", "https://")):
        raise _unusable("ENDPOINT", url, "is no http:// or https:// address")
    protocol = _otlp(source, "PROTOCOL")
    if protocol not in {"", "http/json", "http/protobuf"}:
        raise _unusable("PROTOCOL", protocol, "is not spoken; spans go out as http/json")
    timeout = _otlp(source, "TIMEOUT") or "10000"
    if not timeout.isascii() or not timeout.isdigit():
        raise _unusable("TIMEOUT", timeout, "is no whole number of milliseconds")
    named = {"service.name": source.get("OTEL_SERVICE_NAME", "")}
    return Collector(
        url=url,
        headers=_pairs(_otlp(source, "HEADERS")),
        resource=_pairs(source.get("OTEL_RESOURCE_ATTRIBUTES", ""))
        | {name: said for name, said in named.items() if said},
        certificate=_otlp(source, "CERTIFICATE"),
        timeout=int(timeout) / 1_000,
    )


def _otlp(source: Mapping[str, str], name: str, *, own: bool = False) -> str:
    """Return what is said of the export of traces, else of every export unless only its `own` word counts."""
    said = source.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}", "")
    return said if said or own else source.get(f"OTEL_EXPORTER_OTLP_{name}", "")


def _unusable(name: str, said: str, why: str) -> UsageError:
    return UsageError(
        f"OTEL_EXPORTER_OTLP_{name} {why}: {said!r}.",
        hint="Set it for this process, or OTEL_TRACES_EXPORTER=none to send no spans.",
    )


def _pairs(said: str) -> dict[str, str]:
    """Read `name=value,name=value`, percent-encoded, as OpenTelemetry writes headers and resources."""
    pairs = (each.partition("=") for each in said.split(",") if "=" in each)
    return {unquote(name.strip()): unquote(value.strip()) for name, _, value in pairs}


def secret(name: str, environ: Mapping[str, str] | None = None) -> str | None:
    """Return the value that `secret://env/<name>` stands for, or None where it is not set."""
    source = os.environ if environ is None else environ
    return source.get(name) or None


def environment_with(**values: object) -> dict[str, str]:
    """Return this process's environment for a child whose settings are `values` and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return kept | {PREFIX + name.upper(): str(value) for name, value in values.items()}


_PROVIDER_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")


def agent_environment(
    values: Mapping[str, str],
    environ: Mapping[str, str] | None = None,
    *,
    model_urls: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return what an agent program that runs governed inherits: everything but our settings and secrets (H2).

    With `model_urls` the addresses and keys of model providers are replaced; with None they stay as they are.
    """
    source = os.environ if environ is None else environ
    kept = {name: value for name, value in source.items() if not name.upper().startswith(PREFIX)}
    if model_urls is not None:
        kept |= dict.fromkeys(_PROVIDER_KEYS, "held-by-interlock") | dict(model_urls)
    return kept | dict(values)


def _read(name: str, raw: str, default: object, choices: tuple[str, ...]) -> object:
    if choices and raw.lower() not in choices:
        raise UsageError(
            f"{PREFIX}{name.upper()} must be one of {', '.join(choices)}, not {raw!r}.", hint=_HINT
        )
    if choices:
        return raw.lower()
    if isinstance(default, bool):
        if raw.lower() in {"1", "true", "yes", "on"}:
            return True
        if raw.lower() in {"0", "false", "no", "off"}:
            return False
        raise UsageError(f"{PREFIX}{name.upper()} must be true or false, not {raw!r}.", hint=_HINT)
    if isinstance(default, int):
        try:
            return int(raw)
        except ValueError:
            raise UsageError(
                f"{PREFIX}{name.upper()} must be a whole number, not {raw!r}.", hint=_HINT
            ) from None
    return Path(raw) if isinstance(default, Path) else raw
