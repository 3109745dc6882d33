"""`mesh status`: the gateway's lanes, links and exports, once or watched."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from gateway.cli import output, status_view
from gateway.cli.client import AdminError
from gateway.cli.context import client

RETRY_S = 1.0
"""Between tries while no gateway answers: a watcher outlives a restart."""
NOT_RUNNING = "gateway-not-running"


def register(root: typer.Typer) -> None:
    root.command("status")(status)


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Refresh each second until interrupted.")] = False,
    lanes: Annotated[bool, typer.Option("--lanes", help="Always one row for each lane, however many.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; with --watch a line for each change.")] = False,
) -> None:
    """Show lanes with their lag, why something stands still and the remedy, links and exports."""
    if watch:
        try:
            _watch_lines() if as_json else _watch_table(output.console(), lanes)
        except KeyboardInterrupt:
            raise typer.Exit(0) from None
        return
    found = client().get("/v1/status")
    if as_json:
        output.emit(found)
    else:
        console = output.console()
        console.print(status_view.render(found, console.width, each_lane=lanes))


def _watch_lines() -> None:
    for found in changes(client().stream("GET", "/v1/status/watch")):
        sys.stdout.write(output.tame_json(json.dumps(found)) + "\n")
        sys.stdout.flush()


def changes(updates: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The first, and then those in which more has changed than the time."""
    before: Mapping[str, Any] | None = None
    for found in updates:
        told = status_view.timeless(found)
        if told != before:
            before = told
            yield found


def _watch_table(console: Console, each_lane: bool) -> None:
    # at the end the last picture stays on the screen, as the answer to the question
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        before: Mapping[str, Any] | None = None
        for found in _through_restarts():
            if isinstance(found, str):
                picture = status_view.render(before, console.width, each_lane=each_lane) if before else Text()
                live.update(Group(Text(found, "bold red"), picture), refresh=True)
                continue
            rates = status_view.rates(before, found) if before else {}
            live.update(status_view.render(found, console.width, each_lane=each_lane, rates=rates), refresh=True)
            before = found


def _through_restarts() -> Iterator[Mapping[str, Any] | str]:
    """Each status as it comes, and a line while no gateway answers. Raises AdminError where none did at first."""
    last_s: float | None = None
    while True:
        why = "the gateway has stopped"
        try:
            for found in client().stream("GET", "/v1/status/watch"):
                last_s = time.time()
                yield found
        except AdminError as error:
            if last_s is None or error.code != NOT_RUNNING:
                raise
            why = error.sentence
        yield f"{why}; the last it said is from {output.when(int((last_s or 0) * 1000))[11:]}"
        time.sleep(RETRY_S)
