"""`mesh status`: the gateway's lanes, links and exports, once or watched."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer
from rich.live import Live

from gateway.cli import output, status_view
from gateway.cli.context import client


def register(root: typer.Typer) -> None:
    root.command("status")(status)


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Refresh each second until interrupted.")] = False,
    lanes: Annotated[bool, typer.Option("--lanes", help="Always one row for each lane, however many.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; with --watch one object a line.")] = False,
) -> None:
    """Show lanes with their lag, why something stands still and the remedy, links and exports."""
    if watch:
        try:
            _watch(lanes, as_json)
        except KeyboardInterrupt:
            raise typer.Exit(0) from None
        return
    found = client().get("/v1/status")
    if as_json:
        output.emit(found)
    else:
        console = output.console()
        console.print(status_view.render(found, console.width, each_lane=lanes))


def _watch(each_lane: bool, as_json: bool) -> None:
    updates = client().stream("GET", "/v1/status/watch")
    if as_json:
        for found in updates:
            sys.stdout.write(json.dumps(found) + "\n")
            sys.stdout.flush()
        return
    console = output.console()
    # at the end the last picture stays on the screen, as the answer to the question
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        for found in updates:
            live.update(status_view.render(found, console.width, each_lane=each_lane), refresh=True)
