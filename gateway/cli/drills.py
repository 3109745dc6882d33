"""`mesh drill`: take an emergency measure for real, measure it, and take it back."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli import output
from gateway.cli.context import client

app = typer.Typer(no_args_is_help=True, help="Emergency measures, taken for real and taken back.")


def register(root: typer.Typer) -> None:
    root.add_typer(app, name="drill")


@app.callback()
def group() -> None:
    """Emergency measures, taken for real and taken back."""


@app.command()
def revoke(
    grant: Annotated[str, typer.Argument(metavar="GRANT", help="As `mesh grant list` shows it: SHARE@PEER.")],
    runs: Annotated[int, typer.Option("--runs", min=1, max=1000, help="How many times.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Revoke a grant that is in use, measure until nothing is served, restore it and see every lane resume."""
    done: list[dict[str, Any]] = []
    result: dict[str, Any] = {}
    for event in client().stream("POST", "/v1/drills/revoke", [{"grant": grant, "runs": runs}]):
        if event.pop("event") == "result":
            result = event
            continue
        done.append(event)
        if not as_json:
            times = f"stopped in {event['stop_ms']:.1f} ms, resumed in {event['resume_ms']:.0f} ms"
            output.note(f"run {event['number']}: {event['lanes']} lanes {times}")
    if as_json:
        output.emit({**result, "events": done})
        return
    for name, what in (("stop_ms", "stopped"), ("resume_ms", "resumed")):
        figures = result[name]
        output.say(f"{what}: p50 {figures['p50']:.1f} ms, p99 {figures['p99']:.1f} ms, max {figures['max']:.1f} ms")
