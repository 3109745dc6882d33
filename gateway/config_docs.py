"""The configuration in words: the commented file that `mesh init` writes, and the reference page.

Both are made from the models, so that neither can say what the gateway does not do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from gateway.config_file import Key, keys, tables
from gateway.config_reload import LIVE

_PREAMBLE = """\
# Configuration of a Stream Mesh gateway. A line that begins with '#' shows a default.
# Every key can be set in the environment, too: limits.frame_bytes is MESH_LIMITS__FRAME_BYTES.
# Check with: mesh config check    Show what is in force and why: mesh config explain
"""


def render_config(values: Mapping[str, object]) -> str:
    """The commented TOML file that sets `values` (dotted key to value) and shows every other key's default."""
    lines = [_PREAMBLE]
    described = dict(tables())
    table = ""
    for key in keys():
        inside, _, name = key.name.rpartition(".")
        if inside != table:
            table = inside
            lines += ["", f"# {described[table].description}", f"[{table}]"]
        if f"{key.name}_file" in values:
            lines += [f"# {key.field.description}", f"{name}_file = {_toml(values[f'{key.name}_file'])}"]
            continue
        given = key.name in values
        assignment = f"{name} = {_toml(values[key.name] if given else _default(key))}"
        lines += [f"# {key.field.description}", assignment if given else f"# {assignment}"]
    return "\n".join(lines) + "\n"


def render_reference() -> str:
    """docs/reference/configuration.md."""
    return "\n".join([_REFERENCE_HEAD, *_reference_tables()]) + "\n"


_REFERENCE_HEAD = """\
# Configuration

<!-- Generated from gateway/config_file.py: python -m gateway.config_docs > docs/reference/configuration.md -->

`mesh init` writes a commented `mesh.toml`; `mesh config check` validates one, `mesh config explain` prints each value
in force and where it came from.

A value is taken from the first of these that has it:

1. flags of `mesh gateway run`
2. the environment: `MESH_` and the key in capitals, a dot written as two underscores (`MESH_LIMITS__FRAME_BYTES`)
3. the file (TOML)
4. the default

An unknown key stops the start, and the message names the nearest known one. Relative paths are relative to the
directory of the file. A list is written with commas in flags and in the environment. A secret may be given as a file:
its key with `_file` (`cluster.kafka.sasl_password_file`, `MESH_CLUSTER__KAFKA__SASL_PASSWORD_FILE`).
`MESH_CONFIG` names the file itself.

A running gateway reads file and environment again when the file changes, at SIGHUP, and at `mesh config reload`. Keys
that are *taken at once* are in force then (of links and lanes: those that begin from then on); the others wait for a
restart, and are named in the log, in `/readyz?verbose` and by `mesh config explain --running`. Where the file is not
valid nothing changes, and the same places say why."""


def _reference_tables() -> Iterator[str]:
    headings = {"": "Top level"} | {name: f"`[{name}]`: {field.description}" for name, field in tables()}
    table: str | None = None
    for key in keys():
        inside = key.name.rpartition(".")[0]
        if inside != table:
            table = inside
            yield f"\n## {headings[inside]}\n\n| key | type | default | taken | meaning |\n|---|---|---|---|---|"
        default = "required" if key.field.is_required() else f"`{_toml(_default(key))}`"
        taken = "at once" if key.name in LIVE else "at a restart"
        yield f"| `{key.name}` | {_type(key)} | {default} | {taken} | {key.field.description} |"


def _default(key: Key) -> object:
    value = key.field.default
    return "" if value is PydanticUndefined else value


def _toml(value: object) -> str:
    """TOML's strings, numbers, booleans and lists of them are those of JSON."""
    if isinstance(value, SecretStr):
        return '""'
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def _type(key: Key) -> str:
    kind: Any = key.field.annotation
    if get_origin(kind) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(kind))
    if key.is_secret:
        return "secret"
    if key.is_list:
        return "list"
    if kind in {int, float}:
        return f"{'integer' if kind is int else 'number'}{_bounds(key)}"
    return "string"


def _bounds(key: Key) -> str:
    low = next((f"from {m.ge}" for m in key.field.metadata if isinstance(m, Ge)), "")
    low = low or next((f"above {m.gt}" for m in key.field.metadata if isinstance(m, Gt)), "")
    high = next((f"to {m.le}" for m in key.field.metadata if isinstance(m, Le)), "")
    words = " ".join(word for word in (low, high) if word)
    return f", {words}" if words else ""


if __name__ == "__main__":
    print(render_reference(), end="")
