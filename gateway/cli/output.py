"""What commands print: tables for people, JSON for scripts, colours on a terminal only.

A. Whatever a partner may have chosen is printed as one line without control characters: names, and the sentences that
   quote them. In JSON they are escaped, which changes no value.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

STATE_STYLES = {
    "running": "green",
    "active": "green",
    "ready": "green",
    "catching-up": "cyan",
    "recovering": "cyan",
    "pending": "yellow",
    "waiting": "yellow",
    "paused": "yellow",
    "suspended": "yellow",
    "stopped": "bold red",
    "revoked": "bold red",
    "failed": "bold red",
}


def console(*, error: bool = False) -> Console:
    """A console on the present stdout or stderr: no colours, no cursor moves and no cropping in a pipe."""
    stream = sys.stderr if error else sys.stdout
    width = None if stream.isatty() else 200
    return Console(file=stream, highlight=False, soft_wrap=False, width=width)


def plain(value: object) -> str:
    """A value as one line of text: control characters escaped, so that no name can move the cursor."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value) or "-"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value))


def tame_json(text: str) -> str:
    """JSON text with what could move a terminal's cursor escaped: JSON itself escapes the first 32 characters only."""
    return _DOUBTFUL.sub(lambda found: found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1], text)


_DOUBTFUL = re.compile(r"[^\x20-\x7e\n]")


def styled(value: object) -> str:
    """Rich markup of a cell; the words of STATE_STYLES get their colour."""
    text = escape(plain(value))
    style = STATE_STYLES.get(text)
    return f"[{style}]{text}[/]" if style else text


def table(
    rows: Iterable[Mapping[str, object]],
    columns: Sequence[str] | Mapping[str, str],
    *,
    right: Iterable[str] = (),
    empty: str = "nothing to show",
    title: str | None = None,
) -> None:
    """Print `rows` by `columns`: keys of the rows, or a mapping from key to heading. `right` aligns numbers."""
    rows = list(rows)
    if not rows:
        console().print(empty)
        return
    console().print(build_table(rows, columns, right=right, title=title))


def build_table(
    rows: Iterable[Mapping[str, object]],
    columns: Sequence[str] | Mapping[str, str],
    *,
    right: Iterable[str] = (),
    title: str | None = None,
) -> Table:
    """The table that `table` prints, for those who compose it with others."""
    headings = dict(columns) if isinstance(columns, Mapping) else {key: key.replace("_", " ") for key in columns}
    right = set(right)
    built = Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left", title_style="bold")
    for key, heading in headings.items():
        number = key in right
        built.add_column(heading, justify="right" if number else "left", no_wrap=number, overflow="fold")
    for row in rows:
        built.add_row(*(styled(row.get(key)) for key in headings))
    return built


def emit(value: object, as_json: bool = True) -> None:
    """Print `value`: indented JSON, or for people `key  value` lines of a mapping, a table of a list of mappings."""
    if as_json:
        sys.stdout.write(tame_json(json.dumps(value, indent=2, ensure_ascii=False, default=str)) + "\n")
    elif isinstance(value, Mapping):
        grid = Table.grid(padding=(0, 2))
        for key, item in value.items():
            grid.add_row(f"[bold]{escape(plain(key).replace('_', ' '))}[/]", styled(item))
        console().print(grid)
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        table(value, list(value[0]))
    else:
        console().print(escape(plain(value)))


def counted(number: int, what: str) -> str:
    """Such as `1 topic` and `1,200 topics`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def say(text: str) -> None:
    """One plain line for people on stdout."""
    console().print(escape(plain(text)), soft_wrap=True)


def note(text: str) -> None:
    """One plain line for people on stderr, beside data on stdout."""
    console(error=True).print(escape(plain(text)), soft_wrap=True)


def fail(sentence: str, remedy: str = "", code: str = "") -> None:
    """The three lines of a refusal, on stderr."""
    err = console(error=True)
    err.print(f"[bold red]error:[/] {escape(plain(sentence))}", soft_wrap=True)
    if remedy:
        err.print(f"[bold]remedy:[/] {escape(plain(remedy))}", soft_wrap=True)
    if code:
        err.print(f"[dim]code: {escape(plain(code))}[/]", soft_wrap=True)


def gateway_name(gateway_id: object) -> str:
    """A gateway's own name: beside its organization's the rest of its id says nothing new."""
    return str(gateway_id).rpartition("/")[2]


def moment(text: str) -> str:
    """An ISO 8601 moment as the admin API states it, in UTC as `when` shows one."""
    return when(int(datetime.fromisoformat(text).timestamp() * 1000))


def when(timestamp_ms: int | None) -> str:
    """A moment in UTC, `-` where there is none."""
    if timestamp_ms is None or timestamp_ms < 0:
        return "-"
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
