"""`make docs`: write the reference pages that follow from declarations in the code.

`pages` returns what each page must say; a test compares it with what is on disk.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from typer.main import get_command

from interlock import errors
from interlock.cli.edge import exit_code
from interlock.cli.main import assemble
from interlock.manifest.reference import markdown
from interlock.settings import PREFIX, Settings
from interlock.web.errors import status_of

HERE = Path(__file__).parent
_HEAD = "<!-- Written by `make docs`; edit the declarations in the code instead. -->\n"


def pages() -> dict[Path, str]:
    """Return every generated page by its path."""
    reference = HERE / "reference"
    return {
        reference / "settings.md": settings_page(),
        reference / "errors.md": errors_page(),
        reference / "cli.md": cli_page(),
        reference / "manifest.md": _HEAD + markdown(),
    }


_TELEMETRY = """
OpenTelemetry's own variables say where [spans](llm-gateway.md#spans) go: `OTEL_EXPORTER_OTLP_ENDPOINT` or
`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`; `..._HEADERS`, `..._CERTIFICATE`, `..._TIMEOUT`, `OTEL_SERVICE_NAME` and
`OTEL_RESOURCE_ATTRIBUTES` count as well. Without one of the two, or with `OTEL_SDK_DISABLED=true` or
`OTEL_TRACES_EXPORTER=none`, nothing is sent. They go out as `http/json`, also where the protocol is
`http/protobuf`, for collectors take both at one address; `grpc` is refused.
"""


def settings_page() -> str:
    """Return the page of settings."""
    rows = [
        (f"`{PREFIX}{each.name.upper()}`", _default(each.default), each.metadata["help"])
        for each in fields(Settings)
    ]
    return _page(
        "Settings",
        "Each setting is an environment variable, read once when a process starts. `serve` takes the most\n"
        "used ones as options too; an option wins.",
        _table(("variable", "default", "meaning"), rows) + _TELEMETRY,
    )


def errors_page() -> str:
    """Return the page of errors."""
    rows = [
        (
            f"`{each.code}`",
            each.__name__,
            _first_line(each),
            str(status_of(each("example"))),
            str(exit_code(each("example"))),
        )
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.InterlockError)
    ]
    return _page(
        "Errors",
        "An error means that a promise could not be kept. A refusal is not an error: it is a decision\n"
        "with a reason. The code is stable; the sentences beside it are for people. Over HTTP an error is\n"
        '`{"error": {"code": ..., "message": ..., "hint": ...}}`; a command prints message and hint and\n'
        "ends with the exit code.",
        _table(("code", "class in `interlock.errors`", "meaning", "HTTP", "exit"), rows),
    )


def cli_page() -> str:
    """Return the page of commands."""
    root = get_command(assemble())
    sections = [_command_section(path, command) for path, command in commands(root, ("interlock",))]
    return _page(
        "Commands",
        "Every command is a client of the HTTP API: of the server at `INTERLOCK_URL`, of the one that\n"
        "serves the data directory, or of one that the command starts for as long as it runs.\n"
        "Exit codes: 0 done, 1 refused or a failed check, 2 usage, 3 anything else, 130 Ctrl-C; `run`\n"
        "passes on its program's. An error is one line that says what to do; `interlock --debug COMMAND`\n"
        "shows where it comes from. What lists takes `--json` and answers [one shape](lists.md).",
        "\n".join(sections),
    )


def commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command below `command` that is not hidden, with its path."""
    inner = getattr(command, "commands", None)
    if not inner:
        yield path, command
        return
    for name in sorted(inner):
        if not inner[name].hidden:
            yield from commands(inner[name], (*path, name))


def _command_section(path: tuple[str, ...], command: Any) -> str:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [
        each for each in command.params if each.param_type_name == "option" and not each.hidden and each.help
    ]
    usage = " ".join([*path, *(_argument(each) for each in arguments), *(["[OPTIONS]"] if options else [])])
    rows = [(f"`{_argument(each)}`", each.help or "") for each in arguments]
    rows += [(f"`{', '.join([*each.opts, *each.secondary_opts])}`", _option_help(each)) for each in options]
    text = inspect.cleandoc(command.help or "").replace("\f", "")
    example = (command.epilog or "").replace("Example: ", "    ")
    parts = [f"## {' '.join(path[1:])}\n", f"{text}\n", f"    {usage}\n{example}\n"]
    return "\n".join([*parts, _table(("", ""), rows)] if rows else parts)


def _argument(argument: Any) -> str:
    name = (argument.metavar or argument.name).upper().strip("[]")
    name = f"{name}..." if argument.nargs == -1 else name
    return name if argument.required else f"[{name}]"


def _option_help(option: Any) -> str:
    shown = option.default not in (None, False, "", (), []) and not callable(option.default)
    return f"{option.help} Default: `{option.default}`." if shown else option.help


def _default(value: object) -> str:
    return f"`{str(value).lower() if isinstance(value, bool) else value}`" if value != "" else "empty"


def _first_line(thing: type) -> str:
    return inspect.cleandoc(thing.__doc__ or "").split("\n\n")[0].replace("\n", " ")


def _page(title: str, introduction: str, body: str) -> str:
    return f"# {title}\n\n{_HEAD}\n{introduction}\n\n{body.rstrip()}\n"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(_cell(each) for each in line)} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Write every page that is out of date and say which."""
    for path, text in pages().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {path.relative_to(HERE.parent)}\n")


if __name__ == "__main__":
    main()
