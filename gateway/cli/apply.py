"""`mesh apply`, `mesh export`: peers, shares, grants and subscriptions as files.

What is compared and what follows from it is decided in `gateway.declared`; here it is read, asked, shown and sent.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from gateway.cli import output
from gateway.cli.client import AdminClient, AdminError
from gateway.cli.context import client
from gateway.cli.peers import MAX_FILE_BYTES, read_file
from gateway.declared import documents, present
from gateway.declared.difference import Action, Change, FieldChange, by_key, difference
from gateway.declared.errors import DeclarationRefused
from gateway.declared.kinds import FIELDS, Declared, Kind
from gateway.declared.requests import requests

CHANGES = 3
"""Exit code of a plan that would change something: 1 is a refusal, 2 wrong usage."""
MARKS = {Action.CREATE: ("+", "green"), Action.CHANGE: ("~", "yellow"), Action.REFUSE: ("!", "bold red")}
WORDS = {
    Action.CREATE: ("to create", "created"),
    Action.CHANGE: ("to change", "changed"),
    Action.KEEP: ("unchanged", "unchanged"),
    Action.REFUSE: ("refused", "refused"),
}
FAILED = "failed"
WOULD_FAIL = "would fail"

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(root: typer.Typer) -> None:
    root.command("apply")(apply)
    root.command("export")(export)


def apply(
    file: Annotated[
        list[Path],
        typer.Option("--file", "-f", metavar="FILE", help="YAML, TOML or JSON, - for standard input; may be repeated."),
    ],
    only_plan: Annotated[
        bool, typer.Option("--plan", help="Change nothing, show what would change; exit code 3 if something would.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make peers, shares, grants and subscriptions as files say; what a file does not state stays as it is.

    Applied again it changes nothing. Objects are taken one by one: where one is refused the others are made, and the
    exit code is 1.
    """
    wanted = _wanted(file)
    admin = client()
    now_ms = int(admin.get("/v1/status")["now_ms"])
    changes = difference(wanted, by_key(_present(admin)), now_ms)
    told = [_told(change) for change in changes]
    moved = {change.name for change in changes if change.kind is Kind.PEER and change.is_effective}
    for change, said in zip(changes, told, strict=True):
        said |= _foreseen(admin, change, moved) if only_plan else _carried_out(admin, change)
        if not as_json:
            _show(change, said)
    if as_json:
        output.emit({"plan": only_plan, "changes": told})
    else:
        output.say(_summary(changes, told, only_plan))
    if any(said["reason"] for said in told):
        raise typer.Exit(1)
    if only_plan and any(change.is_effective for change in changes):
        raise typer.Exit(CHANGES)


def export(
    kind: Annotated[list[Kind] | None, typer.Option("--kind", help="Only these; may be repeated.")] = None,
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="yaml or toml.")] = "",
    file: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there; default: standard output.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write peers, shares, grants and subscriptions as `mesh apply` reads them. It holds no secret."""
    if form not in ("", "yaml", "toml"):
        raise typer.BadParameter(f"{form!r} is not yaml or toml", param_hint="--format")
    found = [each for each in _present(client()) if not kind or each.kind in kind]
    if as_json:
        output.emit([each.document() for each in found])
        return
    chosen = documents.form_of(f".{form}" if form else str(file or ""))
    text = documents.written(found, chosen)
    if file is None:
        sys.stdout.write(text)
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise AdminError("file-unwritable", f"cannot write {file}: {os.strerror(error.errno or 0).lower()}") from error
    output.note(f"wrote {output.counted(len(found), 'object')} to {file}")


def _wanted(files: Iterable[Path]) -> list[Declared]:
    """Raises DeclarationRefused; of several faults all but the first are told here."""
    try:
        read = [documents.read(_text_of(each), _called(each), documents.form_of(each.name)) for each in files]
        return documents.joined(each for found in read for each in found)
    except DeclarationRefused as refused:
        for other in refused.others:
            output.note(other)
        raise


def _text_of(file: Path) -> str:
    text = read_file(file)
    if len(text.encode()) > MAX_FILE_BYTES:
        raise DeclarationRefused(_called(file), f"it is larger than {MAX_FILE_BYTES} bytes: split it")
    return text


def _called(file: Path) -> str:
    return "standard input" if str(file) == "-" else str(file)


def _present(admin: AdminClient) -> list[Declared]:
    names = ("peers", "shares", "grants", "subscriptions")
    return present.objects(*(admin.get(f"/v1/{name}")[name] for name in names))


def _carried_out(admin: AdminClient, change: Change) -> Mapping[str, Any]:
    """What came of it. Raises AdminError where no gateway answers any more."""
    try:
        for call in requests(change):
            admin.post(call.path, call.body)
    except AdminError as error:
        if error.code == "gateway-not-running":
            raise
        return {"outcome": FAILED, "reason": error.sentence, "remedy": error.remedy, "code": error.code}
    return {"outcome": WORDS[change.action][1]}


def _foreseen(admin: AdminClient, change: Change, moved: Collection[str]) -> Mapping[str, Any]:
    """What would stand in the way of a new subscription, by its provider's catalog and the topics that there are.

    Of a peer that the same files change (`moved`) nobody can tell yet.
    """
    if change.kind is not Kind.SUBSCRIPTION or change.result is None or change.action is not Action.CREATE:
        return {}
    if change.result.spec["peer"] in moved:
        return {}
    try:
        plan = admin.post("/v1/subscriptions/plan", requests(change)[0].body)
    except AdminError as error:
        return {"outcome": FAILED, "reason": error.sentence, "remedy": error.remedy, "code": error.code}
    refused = next((each["refused"] for each in plan["topics"] if each["refused"]), None)
    return {"outcome": FAILED, **refused} if refused else {}


def _told(change: Change) -> dict[str, Any]:
    told = [{"field": each.name, **_values(change, each)} for each in change.fields]
    fields = [each for each in told if each["before"] != each["after"]]
    said = {"kind": change.kind.value, "name": change.name, "action": change.action.value, "fields": fields}
    outcome = "refused" if change.action is Action.REFUSE else "planned"
    return {**said, "outcome": outcome, "reason": change.reason, "remedy": change.remedy, "code": ""}


def _values(change: Change, field: FieldChange) -> dict[str, Any]:
    show = FIELDS[change.kind][field.name].show
    before = None if field.before is None and change.action is Action.CREATE else show(field.before)
    return {"before": before, "after": show(field.after)}


def _show(change: Change, said: Mapping[str, Any]) -> None:
    if change.action is Action.KEEP:
        return
    mark, style = MARKS[Action.REFUSE] if said["outcome"] == FAILED else MARKS[change.action]
    console = output.console()
    console.print(f"[{style}]{mark}[/] {change.kind} {escape(output.plain(change.name))}", soft_wrap=True)
    if said["reason"]:
        console.print(f"    {escape(output.plain(said['reason']))}", soft_wrap=True)
        if said["remedy"]:
            console.print(f"    [bold]remedy:[/] {escape(output.plain(said['remedy']))}", soft_wrap=True)
        return
    width = max((len(each["field"]) for each in said["fields"]), default=0)
    for each in said["fields"]:
        before = f"{_shown(each['before'])} -> " if change.action is Action.CHANGE else ""
        console.print(f"    {each['field']:<{width}}  {escape(before + _shown(each['after']))}", soft_wrap=True)


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{output.plain(key)}={output.plain(item)}" for key, item in value.items())
    return output.plain(value)


def _summary(changes: Iterable[Change], told: Iterable[Mapping[str, Any]], only_plan: bool) -> str:
    failed = WOULD_FAIL if only_plan else FAILED
    counts = Counter(
        failed if said["outcome"] == FAILED else WORDS[change.action][0 if only_plan else 1]
        for change, said in zip(changes, told, strict=True)
    )
    order = [words[0 if only_plan else 1] for words in WORDS.values()] + [failed]
    parts = [f"{counts[word]} {word}" for word in order if counts[word]]
    return f"{'plan' if only_plan else 'applied'}: {', '.join(parts) or 'no objects'}"
