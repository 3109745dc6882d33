"""The table of a drill and its closing line."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tests.drills.attack import Measure, Outcome


def show(console: Console, outcomes: Sequence[Outcome], measures: Sequence[Measure]) -> None:
    table = Table(title="trust between organizations", title_justify="left")
    for column in ("attack or measure", "result", "reason or figures", "bound"):
        table.add_column(column, overflow="fold")
    for outcome in outcomes:
        result = "[green]refused[/]" if outcome.refused else "[bold red]NOT REFUSED[/]"
        table.add_row(outcome.name, result, _plain(outcome.saw), "refused")
    table.add_section()
    for measure in measures:
        result = "[green]kept[/]" if measure.kept else "[bold red]MISSED[/]"
        table.add_row(measure.name, result, _plain(measure.figures), measure.bound)
    console.print(table)
    console.print(
        "closed: ended in the handshake without a word, while an honest peer is let in; other reasons are those of the "
        "gateway's log or of the command that refused",
        style="dim",
    )


def closing(outcomes: Sequence[Outcome]) -> str:
    """Scripts look for it, so it never changes."""
    return f"trust: {sum(outcome.refused for outcome in outcomes)} of {len(outcomes)} attacks refused"


def holds(outcomes: Sequence[Outcome], measures: Sequence[Measure]) -> bool:
    return bool(outcomes and measures) and all(o.refused for o in outcomes) and all(m.kept for m in measures)


def _plain(text: str) -> str:
    """Square brackets are no markup here."""
    return text.replace("[", r"\[")
