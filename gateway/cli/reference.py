"""The reference pages of commands, errors and metrics, made from the code: `python -m gateway.cli.reference [DIR]`.

What is written by hand stands here as text; tables come from the typer application, the error classes and the metrics
registry, so that no page can name what is not there or miss what is. A test compares the committed pages.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from gateway.admin.openapi import document
from gateway.admin.server import all_routes
from gateway.cli.client import CLIENT_ERRORS
from gateway.cli.local_page import LOCAL_INTRO
from gateway.cli.main import app
from gateway.cli.objects_page import objects_page
from gateway.doctor.permissions_page import permissions_page
from gateway.local import http_openapi, http_server
from gateway.metrics import Metrics
from mesh.errors import MeshError, concrete_errors

PACKAGES = ("mesh", "gateway", "certs")
ACTORS = {
    "caller": "The request is wrong: whoever made it must change it.",
    "peer": "The peer broke a rule of the protocol or of trust: its operator must act.",
    "network": "Something between two processes failed: it is tried again.",
    "operator": "This gateway, its cluster or its configuration needs a person.",
}

_CLI_INTRO = """\
# The mesh command

<!-- Generated: python -m gateway.cli.reference -->

`mesh` talks to the admin API of the local gateway; nothing edits state behind its back. It finds the gateway by the
configuration file: `--config FILE`, or `mesh.toml` in `--dir DIR`, or the file that `MESH_CONFIG` names, or
`./mesh.toml`. Both options stand before the verb: `mesh --dir acme status`. The address and the token come from the
gateway's state directory; `MESH_ADMIN` (host:port) and `MESH_ADMIN_TOKEN` or `MESH_ADMIN_TOKEN_FILE` stand in for them.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | refused or failed: three lines on standard error say what, the remedy and the code (errors.md) |
| 2 | wrong usage |
| 3 | `mesh apply --plan` only: something would change |
| 130 | interrupted |

Data go to standard output, everything else to standard error. `--json` prints what scripts need; colours appear on a
terminal only, and none where `NO_COLOR` is set. `mesh --install-completion` lets your shell complete verbs, options and
names that your gateway knows. `mesh topic append` and `mesh topic read` speak newline-delimited JSON:

    {"key": "N14228", "value": {"dep_delay": 2}, "headers": [["source", "gate"]], "timestamp": 1357034400000}

A key, value or header value is text, null, or any other JSON, which is stored as its compact JSON text. Bytes that are
not UTF-8 stand as base64 in `key_b64` and `value_b64`, in a header as `{"b64": "…"}`. `partition` names a partition,
otherwise the murmur2 hash of the key chooses one, as Kafka's own clients do; `offset` is printed by `read` and passed
over by `append`, so that the one can be piped into the other. Lines are appended in order; where one is refused, all
before it are in the topic, and the error says how many.

Options of `mesh` itself:
"""

_ERRORS_INTRO = """\
# Errors

<!-- Generated: python -m gateway.cli.reference -->

Every error has a stable code, a sentence and mostly a remedy. Commands print the three; the admin API answers
`{"error": {"code", "sentence", "remedy", "actor"}}`; logs and `mesh status` carry the code. The first question is who
must act. *Again* marks what is tried again by itself. Words in braces stand for the values of the case.
"""

_METRICS_INTRO = """\
# Metrics

<!-- Generated: python -m gateway.cli.reference -->

`GET /metrics` on the admin listener answers in Prometheus text form; it needs no token and tells no secret. `peer` is
an organization, `direction` is `import` or `export` for mirrored data and `sent` or `received` on links. Record keys
and values never appear. A lane's gauges are read at the moment of the scrape and end with the lane.
"""

_ADMIN_INTRO = """\
# The admin API

<!-- Generated: python -m gateway.cli.reference -->

What the `mesh` command speaks to its local gateway: HTTP on a loopback address, with the token of the state directory's
`admin.token` as `Authorization: Bearer …`. The whole of it, with the schema of each body and answer, is the OpenAPI 3.1
document [openapi.json](openapi.json), which the gateway answers at `/openapi.json`, too; both are made from the
declarations by which requests are checked.

Bodies are JSON of at most 1 MiB. A field, or a parameter of the query, that a path does not know is refused. `?` marks
what may be left out. A refusal is `{"error": {"code", "sentence", "remedy", "actor"}}` ([errors](errors.md)), a method
that a path does not have is answered with 405. `application/x-ndjson` is a line of JSON each; an error after the first
line is the last line.
"""


def cli_page() -> str:
    root = typer.main.get_command(app)
    parts = [_CLI_INTRO.rstrip() + "\n", *_options(root)]
    for path, command in commands(root, "mesh"):
        parts += [f"\n## {path}\n", f"{_sentence(command.help or '')}\n", f"    {_usage(path, command)}\n"]
        parts += _options(command)
    return "\n".join(parts).rstrip() + "\n"


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command that does something, by the words that call it."""
    for name, child in getattr(command, "commands", {}).items():
        if hasattr(child, "commands"):
            yield from commands(child, f"{path} {name}")
        else:
            yield f"{path} {name}", child


def _usage(path: str, command: Any) -> str:
    if not command.context_settings.get("allow_interspersed_args", True):
        return f"{path} [OPTIONS] -- {command.params[0].metavar}"
    words = [path]
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            words.append(parameter.metavar or parameter.name.upper())
        elif parameter.required:
            words.append(_shown(parameter))
    return " ".join([*words, "[OPTIONS]"])


def _options(command: Any) -> list[str]:
    rows = [(f"`{_shown(p)}`", _meaning(p)) for p in command.params if not getattr(p, "hidden", False)]
    if not rows:
        return []
    return ["| option | meaning |\n|---|---|", *(f"| {name} | {text} |" for name, text in rows)]


def _shown(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    return names if parameter.is_flag else f"{names} {parameter.metavar or parameter.name.upper()}"


def _meaning(parameter: Any) -> str:
    text = _cell(parameter.help or "").rstrip(".")
    if parameter.required:
        return f"{text}; required" if parameter.param_type_name == "option" else text
    if parameter.default in (None, False, "", ()) or parameter.is_flag:
        return text
    return f"{text}; default `{parameter.default}`"


def errors_page() -> str:
    found = project_errors()
    parts = [_ERRORS_INTRO.rstrip()]
    for actor, who in ACTORS.items():
        parts += [f"\n## {actor.capitalize()}\n", f"{who}\n", "| code | sentence | remedy |\n|---|---|---|"]
        parts += [_error_row(error) for error in found if error.actor == actor]
    parts += ["\n## Of the command itself\n", "| code | sentence | remedy |\n|---|---|---|"]
    parts += [f"| `{code}` | {_cell(said)} | {_cell(remedy)} |" for code, said, remedy in CLIENT_ERRORS]
    return "\n".join(parts) + "\n"


def project_errors() -> list[type[MeshError]]:
    """Every concrete error class of the project, by code."""
    import_all()
    own = {error for error in concrete_errors() if error.__module__.partition(".")[0] in PACKAGES}
    return sorted(own, key=lambda error: (error.code, error.__name__))


def _error_row(error: type[MeshError]) -> str:
    again = " *Again.*" if error.retriable else ""
    return f"| `{error.code}` | {_template(error.sentence)}{again} | {_template(error.hint)} |"


def _template(text: str) -> str:
    """A format string for readers: `{name!r}` and `{name:#x}` become `{name}`."""
    return _cell(re.sub(r"\{(\w+)[^}]*\}", r"{\1}", text))


def openapi_page() -> str:
    return json.dumps(document(all_routes()), indent=1, ensure_ascii=False) + "\n"


def local_openapi_page() -> str:
    return json.dumps(local_document(), indent=1, ensure_ascii=False) + "\n"


def local_document() -> dict[str, Any]:
    return http_openapi.document(http_server.all_routes())


def admin_page() -> str:
    return _api_page(_ADMIN_INTRO, document(all_routes()))


def local_page() -> str:
    return _api_page(LOCAL_INTRO, local_document())


def _api_page(intro: str, described: Mapping[str, Any]) -> str:
    parts = [
        intro.rstrip(),
        "\n| method and path | what it does | query | body | answer |\n|---|---|---|---|---|",
    ]
    parts += [f"| {' | '.join(map(_cell, row))} |" for row in api_rows(described)]
    return "\n".join(parts) + "\n"


def api_rows(described: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str, str]]:
    for path, methods in described["paths"].items():
        for method, said in methods.items():
            query = [each for each in said.get("parameters", ()) if each["in"] == "query"]
            body: tuple[str, Any] = next(iter(said.get("requestBody", {}).get("content", {}).items()), ("", {}))
            yield (
                f"`{method.upper()} {path}`",
                said["summary"],
                ", ".join(_marked(each["name"], required=each["required"]) for each in query),
                _shown_body(*body),
                ", ".join(
                    f"{status} {' or '.join(each['content'])}"
                    for status, each in said["responses"].items()
                    if status != "default"
                ),
            )


def _shown_body(kind: str, content: Mapping[str, Any]) -> str:
    if not kind:
        return ""
    schema = content["schema"]
    required = schema.get("required", ())
    return ", ".join(_marked(name, required=name in required) for name in schema.get("properties", ())) or kind


def _marked(name: str, *, required: bool) -> str:
    return f"`{name}`" if required else f"`{name}`?"


def import_all() -> None:
    """Import every module of the project, so that every error class exists."""
    for name in PACKAGES:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)


def metrics_page() -> str:
    parts = [_METRICS_INTRO.rstrip(), "\n| metric | type | labels | meaning |\n|---|---|---|---|"]
    parts += [f"| `{name}` | {kind} | {labels} | {_cell(text)} |" for name, kind, labels, text in metric_rows()]
    return "\n".join(parts) + "\n"


def metric_rows() -> Iterable[tuple[str, str, str, str]]:
    metrics = Metrics()
    for name, kind, labels, text in metrics.described():
        yield name, kind, ", ".join(f"`{label}`" for label in labels), text


def _sentence(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


PAGES = {
    "cli.md": cli_page,
    "errors.md": errors_page,
    "metrics.md": metrics_page,
    "kafka-permissions.md": permissions_page,
    "admin-api.md": admin_page,
    "openapi.json": openapi_page,
    "objects.md": objects_page,
    "local-api.md": local_page,
    "local-openapi.json": local_openapi_page,
}


def main(directory: Path) -> None:
    for name, page in PAGES.items():
        (directory / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs/reference"))
