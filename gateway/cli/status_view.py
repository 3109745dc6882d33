"""How a status looks: pure functions from the admin API's answer to what rich prints.

Narrow terminals show fewer columns, never broken words. Many lanes are summed up by topic. What stands still is told
in full sentences below the tables, once for all lanes that share the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gateway.cli.output import STATE_STYLES, gateway_name, plain, styled, when

Row = Mapping[str, Any]

_CLOCKED = ("lag_s", "stalled_s", "source_heard_s", "retention_s")
"""What grows by itself while nothing happens."""
# More rows than this hide what matters; they are summed up by topic unless asked for.
MAX_LANE_ROWS = 24
WIDE = 110
STATES = ("stopped", "waiting", "recovering", "catching-up", "paused", "running", "elsewhere")
_GAP = Text("")


def timeless(status: Row) -> Row:
    """A status without what changes with the time alone: by it two are compared."""
    lanes = [{key: value for key, value in lane.items() if key not in _CLOCKED} for lane in status["lanes"]]
    warned = [(each["code"], each["lanes"]) for each in status["warnings"]]  # their sentences say since when
    return {**status, "now_ms": None, "lanes": lanes, "warnings": warned}


def rates(before: Row, after: Row) -> dict[str, float]:
    """Records a second of each lane between two statuses of one gateway."""
    passed_s = (after["now_ms"] - before["now_ms"]) / 1000
    then = {lane["lane"]: lane["records"] for lane in before["lanes"]}
    if passed_s <= 0:
        return {}
    grown = {lane["lane"]: lane["records"] - then[lane["lane"]] for lane in after["lanes"] if lane["lane"] in then}
    return {name: number / passed_s for name, number in grown.items() if number >= 0}


def render(
    status: Row, width: int, *, each_lane: bool = False, rates: Mapping[str, float] | None = None
) -> RenderableType:
    """The whole status for a terminal of `width` columns; with `rates`, also what each lane copies a second."""
    lanes: list[Row] = status["lanes"]
    parts: list[RenderableType] = [headline(status)]
    if lanes:
        if rates is not None:
            lanes = [{**lane, "rate": rates.get(lane["lane"])} for lane in lanes]
        rows = lanes if each_lane or len(lanes) <= MAX_LANE_ROWS else by_topic(lanes)
        parts += [_GAP, lane_table(rows, width)]
        parts += [part for trouble in (*troubles(lanes), *warned(status["warnings"])) for part in (_GAP, trouble)]
    if status["links"]:
        parts += [_GAP, link_table(status["links"], status["now_ms"])]
    if status["exports"]:
        parts += [_GAP, export_table(status["exports"])]
    if not lanes and not status["exports"]:
        parts += [_GAP, Text("no lanes: nothing is subscribed here, and nothing that is granted is read")]
    return Group(*parts)


def headline(status: Row) -> Text:
    lanes = status["lanes"]
    counts = Counter(lane["state"] for lane in lanes)
    text = Text()
    text.append(f"{plain(status['organization'])}/{plain(status['gateway'])}", "bold")
    text.append(f"  {_many(len(lanes), 'lane')}")
    for index, state in enumerate(state for state in STATES if counts[state]):
        text.append(", " if index else ": ").append(f"{counts[state]} {state}", STATE_STYLES.get(state, ""))
    text.append(f"  {_many(len(status['links']), 'link')}  {when(status['now_ms'])[11:]}")
    return text


def lane_table(rows: Iterable[Row], width: int) -> Table:
    wide = width >= WIDE
    built = _table("lanes")
    built.add_column("lane", overflow="fold", ratio=1 if wide else None)
    built.add_column("state", no_wrap=True)
    if wide:
        built.add_column("copied to", overflow="fold")
    rows = list(rows)
    rated = any("rate" in lane for lane in rows)
    for heading in ("records", *(("records/s",) if rated else ()), "lag", "behind", "gaps"):
        built.add_column(heading, justify="right", no_wrap=True)
    if wide:
        built.add_column("bytes", justify="right", no_wrap=True)
    for lane in rows:
        cells = [escape(plain(lane["lane"])), _place(lane)]
        if wide:
            cells.append(escape(plain(lane["destination_topic"])))
        cells += [count(lane["records"]), *([rate(lane["rate"])] if rated else [])]
        cells += [count(lane["lag_records"]), duration(lane["lag_s"]), count(lane["gaps"])]
        if wide:
            cells.append(size(lane["size_bytes"]))
        built.add_row(*cells)
    return built


def _place(lane: Row) -> str:
    """The state, or which other gateway has the lane."""
    return f"at {escape(plain(lane['gateway']))}" if lane["state"] == "elsewhere" else styled(lane["state"])


def link_table(links: Iterable[Row], now_ms: int) -> Table:
    built = _table("links")
    for heading in ("peer", "gateway", "role", "address"):
        built.add_column(heading, overflow="fold")
    built.add_column("up for", justify="right", no_wrap=True)
    for link in links:
        up_s = max(0.0, (now_ms - link["since_ms"]) / 1000)
        names = (link["peer"], gateway_name(link["gateway"]), link["role"], link["address"])
        cells = [escape(plain(name)) for name in names]
        built.add_row(*cells, duration(up_s))
    return built


def export_table(exports: Iterable[Row]) -> Table:
    built = _table("exports")
    for heading in ("peer", "share", "topic"):
        built.add_column(heading, overflow="fold")
    for heading in ("partition", "acknowledged", "log end", "lag"):
        built.add_column(heading, justify="right", no_wrap=True)
    for export in sorted(exports, key=lambda each: [each[key] for key in ("peer", "share", "topic", "partition")]):
        acknowledged, end = _offset(export, "acknowledged"), _offset(export, "log_end")
        lag = end - acknowledged if end is not None and acknowledged is not None else None
        cells = [escape(plain(export.get(key))) for key in ("peer", "share", "topic", "partition")]
        built.add_row(*cells, count(acknowledged), count(end), count(lag))
    return built


def troubles(lanes: Iterable[Row]) -> list[RenderableType]:
    """A paragraph for each reason that lanes give: who, why, and what to do."""
    sharing: dict[tuple[str, str, str, str], list[str]] = {}
    for lane in lanes:
        if lane["reason"]:
            key = (lane["state"], lane["code"], lane["reason"], lane["remedy"])
            sharing.setdefault(key, []).append(lane["lane"])
    order = {state: index for index, state in enumerate(STATES)}
    return [_trouble(*key, names) for key, names in sorted(sharing.items(), key=lambda item: order[item[0][0]])]


def warned(warnings: Iterable[Row]) -> list[RenderableType]:
    """A paragraph for each warning."""
    return [
        _trouble("warning", each["code"], each["why"].partition(": ")[2], each["remedy"], each["lanes"])
        for each in warnings
    ]


def _trouble(state: str, code: str, reason: str, remedy: str, names: Sequence[str]) -> RenderableType:
    title = Text()
    title.append(state, STATE_STYLES.get(state, "bold")).append(f"  {plain(names[0])}")
    if len(names) > 1:
        title.append(f" and {len(names) - 1} more")
    title.append(f"  {plain(code)}", "dim")
    lines = Table.grid(padding=(0, 2))
    lines.add_row("why", escape(plain(reason)))
    if remedy:
        lines.add_row("remedy", escape(plain(remedy)))
    return Group(title, Padding(lines, (0, 0, 0, 2), expand=False))


def by_topic(lanes: Iterable[Row]) -> list[Row]:
    """One row for all lanes of a subscription's topic: sums, the worst state, the longest lag."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for lane in lanes:
        groups.setdefault((lane["subscription"], lane["topic"]), []).append(lane)
    return [_summed(f"{key[0]}/{key[1]} x{len(group)}", group) for key, group in groups.items()]


def _summed(name: str, group: Sequence[Row]) -> Row:
    known = [lane["lag_records"] for lane in group if lane["lag_records"] is not None]
    seconds = [lane["lag_s"] for lane in group if lane["lag_s"] is not None]
    known_rates = [lane["rate"] for lane in group if lane.get("rate") is not None]
    rated = {"rate": sum(known_rates) if known_rates else None} if "rate" in group[0] else {}
    return rated | {
        "lane": name,
        "state": min((lane["state"] for lane in group), key=STATES.index),
        "gateway": ", ".join(sorted({lane.get("gateway", "") for lane in group})),
        "destination_topic": group[0]["destination_topic"],
        "records": sum(lane["records"] for lane in group),
        "lag_records": sum(known) if known else None,
        "lag_s": max(seconds) if seconds else None,
        "gaps": sum(lane["gaps"] for lane in group),
        "size_bytes": sum(lane["size_bytes"] for lane in group),
    }


def count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def rate(a_second: float | None) -> str:
    return "-" if a_second is None else f"{a_second:,.1f}" if 0 < a_second < 10 else f"{a_second:,.0f}"


def duration(seconds: float | None) -> str:
    """`0.4 s`, `52 s`, `3 min`, `2.1 h`, `4.0 d`."""
    if seconds is None:
        return "-"
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} d"


def size(size_bytes: int) -> str:
    number = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def _offset(export: Row, name: str) -> int | None:
    """An export's offset by its name, with or without `_offset`; -1 is unknown."""
    value = export.get(name, export.get(f"{name}_offset"))
    return value if isinstance(value, int) and value >= 0 else None


def _table(title: str) -> Table:
    return Table(
        box=None, pad_edge=False, header_style="bold", title=title, title_justify="left", title_style="bold underline"
    )


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
