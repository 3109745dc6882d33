"""`mesh verify`: what the gateway found comparing both logs, with progress; the last line is for scripts too."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gateway.cli import completing, output
from gateway.cli.context import client

EVIDENCE_COLUMNS = ("kind", "lane", "source_offset", "destination_offset", "detail")


def register(root: typer.Typer) -> None:
    root.command()(verify)


def verify(
    subscription: Annotated[
        str,
        typer.Argument(
            metavar="SUBSCRIPTION", help="The subscription's name.", autocompletion=completing.subscriptions
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare a subscription's copy with its source, record by record, and every offset's translation.

    Independent of the mirror: own reader, own comparison. Exit code 1 if anything differs or cannot be read.
    """
    result = follow(client().stream("GET", f"/v1/subscriptions/{subscription}/verify"), quiet=as_json)
    if as_json:
        output.emit(result)
    else:
        show(result)
        unread = [lane["lane"] for lane in result["lanes"] if lane["failure"] is not None]
        if unread:  # the closing line never changes; alone it would read as if all were well
            output.note(f"incomplete: {len(unread)} of {len(result['lanes'])} lanes could not be verified, see above")
    if not result["ok"]:
        raise typer.Exit(1)


def follow(events: Iterable[dict[str, Any]], *, quiet: bool) -> dict[str, Any]:
    """The result at the end of `events`; progress goes to stderr, on a terminal only."""
    result: dict[str, Any] = {}
    with _progress(quiet) as progress:
        task = progress.add_task("comparing", total=None)
        for event in events:
            if event["event"] == "begin":
                progress.update(task, total=event["total"])
            elif event["event"] == "progress":
                progress.update(task, completed=event["done"])
            elif event["event"] == "result":
                result = event
    return result


def _progress(quiet: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    hidden = quiet or not sys.stderr.isatty()
    return Progress(*columns, console=output.console(error=True), transient=True, disable=hidden)


def show(result: dict[str, Any]) -> None:
    """What was compared, what was found, and the closing line last."""
    lanes = result["lanes"]
    for lane in lanes:
        output.say(_lane_line(lane))
    for lane in result["not_begun"]:
        output.say(f"{lane}: nothing mirrored yet")
    evidence = [{**item, "lane": lane["lane"]} for lane in lanes for item in lane["evidence"]]
    if evidence:
        output.table(evidence, EVIDENCE_COLUMNS, right=("source_offset", "destination_offset"))
    for line in _details(result):
        output.say(line)
    output.say(result["closing"])


def _lane_line(lane: dict[str, Any]) -> str:
    if lane["failure"] is not None:
        return f"{lane['lane']}: cannot be verified: {lane['failure']['sentence']}; {lane['failure']['remedy']}"
    offsets = f"source offsets {lane['start']} to {lane['position']} (exclusive)"
    lag = "" if not lane["lag_records"] else f", {lane['lag_records']} behind, not counted as lost"
    return f"{lane['lane']}: {offsets} with {lane['destination']}: {lane['records']} records{lag}"


def _details(result: dict[str, Any]) -> Iterable[str]:
    yield f"translations checked both ways: {result['translations']} source offsets"
    if result["translations_left_out"]:
        yield f"in the middle of very long gaps, not asked one by one: {result['translations_left_out']} source offsets"
    if result["foreign"]:
        yield f"foreign: {result['foreign']} records at the destination were written by somebody else"
    if result["left_over"]:
        yield f"left over: {result['left_over']} records are copies of what the source has lost since, see: mesh gaps"
    if result["overridden"]:
        yield f"timestamp overridden: {result['overridden']} records were copied without theirs, all else is compared"
    if result["filtered"]:
        yield f"filtered: {result['filtered']} source records are kept back by policy"
    if result["not_compared"]:
        yield f"not compared: {result['not_compared']} source offsets are no longer in both logs"
