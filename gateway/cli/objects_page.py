"""docs/reference/objects.md, made from the table of kinds and fields."""

from __future__ import annotations

import json

from gateway.declared.kinds import FIELDS, Field, Kind

_INTRO = """\
# Objects of `mesh apply` and `mesh export`

<!-- Generated: python -m gateway.cli.reference -->

An object has a `kind`, a `name` and a `spec`. In YAML it is a document, or an item of a list; in TOML an `[[object]]`
table; JSON is read as YAML. How they are used: [how to keep shares and subscriptions in files](../how-to/declare.md).

- What a spec does not state stays as it is; a new object gets the default.
- Objects that no file names stay as they are: taking one away is said by its `state`, or by a command.
- A field *of a new object only* cannot be changed later: such a file is refused, and nothing of that object changes.
- A field, kind or value that is not known is refused with the nearest known one, before anything is changed.
- A time is written as `2031-01-31T12:00:00Z`, with its zone, or as milliseconds since 1970.
"""
ABOUT = {
    Kind.PEER: """\
Name: the organization's domain. A file changes a peer and never makes one: pairing stays with invites, because it is
two people who compare a phrase. `pending` is what an invite makes of it; `revoked` has no way back.""",
    Kind.SHARE: "Name: the share's.",
    Kind.GRANT: """\
Name: `SHARE@PEER`. Of a grant that is to be `revoked` nothing else counts. One that was revoked is given anew where
the file says `state: active`, and one that has ended where it states another `end`; what is not stated is then as it
was.""",
    Kind.SUBSCRIPTION: """\
Name: the subscription's. `promoting` and `promoted` are what `mesh subscription promote` makes of it: a file does not
end a mirror. Topics that a pattern has found are not listed: the pattern is.""",
}


def objects_page() -> str:
    parts = [_INTRO.rstrip()]
    for kind, fields in FIELDS.items():
        parts += [f"\n## {kind}\n", f"{ABOUT[kind]}\n", "| field | default | meaning |\n|---|---|---|"]
        parts += [_row(name, field) for name, field in fields.items()]
    return "\n".join(parts) + "\n"


def _row(name: str, field: Field) -> str:
    fixed = "; of a new object only" if field.is_fixed else ""
    return f"| `{name}` | {_default(field)} | {field.meaning}{fixed} |"


def _default(field: Field) -> str:
    if field.is_required:
        return "required"
    shown = field.show(field.default)
    return f"`{json.dumps(shown)}`" if shown is not None else ""
