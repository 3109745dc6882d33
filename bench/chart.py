"""The rows of catch-up as a picture: CPU per GB and throughput of both, spreads, and where the targets are.

    python -m bench.chart [--results bench/results] [--output docs/performance.svg]

SVG by hand: shapes and text only, on a ground of its own, so that it reads on light and on dark pages alike.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from bench.mirrors import MESH, TUNED
from bench.targets import CATCH_UP, LIMITS, RESULTS, Document, Run, Spread, cpu, loaded, spread, throughput

OUTPUT = Path("docs/performance.svg")
MARGIN, HEAD, LABELS, BAR, GAP = 20, 96, 225, 15, 18
PANEL, ROOM = 330, 84
"""The width of a panel, and what of it is left for the figure behind the longest bar."""
WIDTH = 2 * MARGIN + LABELS + 2 * PANEL
STYLE = """
  text { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328 }
  .ground { fill: #ffffff; stroke: #d0d7de }
  .title { font-size: 16px; font-weight: 600 }
  .small { font-size: 11px; fill: #59636e }
  .mesh { fill: #0969da }
  .peer { fill: #b35900 }
  .spread { stroke: #1f2328; stroke-width: 1.2; fill: none }
  .target { stroke: #1a7f37; stroke-width: 2.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .ground { fill: #0d1117; stroke: #3d444d }
    .small { fill: #9198a1 }
    .mesh { fill: #4493f8 }
    .peer { fill: #e08a3c }
    .spread { stroke: #f0f6fc }
    .target { stroke: #3fb950 }
  }
"""


@dataclass(frozen=True, slots=True)
class Bars:
    """Of one row in one panel; `target` is what ours may or must be, None where nothing is asked."""

    mesh: Spread
    peer: Spread
    target: float | None


@dataclass(frozen=True, slots=True)
class Line:
    title: str
    cpu: Bars
    throughput: Bars


def lines(document: Document) -> list[Line]:
    """The rows that both have copied, whole."""
    return [_line(row) for row in document["rows"] if row["runs"].get(MESH) and row["runs"].get(TUNED)]


def _line(row: Document) -> Line:
    limits = LIMITS.get(row["name"])
    return Line(
        row["title"],
        _bars(row, cpu, limits and limits.cpu),
        _bars(row, throughput, limits and limits.throughput),
    )


def _bars(row: Document, figure: Callable[[Run], float], limit: float | None) -> Bars:
    mesh, peer = (spread([figure(run) for run in row["runs"][side]]) for side in (MESH, TUNED))
    return Bars(mesh, peer, None if limit is None else limit * peer.median)


def svg(rows: Sequence[Line]) -> str:
    """The picture. At least one row."""
    height = HEAD + len(rows) * (2 * BAR + GAP) + MARGIN
    panels = [
        (MARGIN + LABELS, "CPU seconds per GB: shorter is better", [row.cpu for row in rows]),
        (MARGIN + LABELS + PANEL, "MB/s: longer is better", [row.throughput for row in rows]),
    ]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        ' role="img" aria-label="CPU per GB and throughput of mesh and MirrorMaker 2">',
        f"<style>{STYLE}</style>",
        f'<rect class="ground" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6"/>',
        _text(MARGIN, 30, "Catch-up from cluster to cluster: mesh and MirrorMaker 2, tuned, in one run", "title"),
        *_legend(),
        *(_text(MARGIN, _top(at) + BAR + 4, row.title) for at, row in enumerate(rows)),
    ]
    for left, title, bars in panels:
        parts.append(_text(left, HEAD - 14, title, "small"))
        parts += _panel(left, bars)
    return "\n".join([*parts, "</svg>", ""])


def _legend() -> Iterator[str]:
    for left, kind, text in ((MARGIN, "mesh", "mesh"), (MARGIN + 70, "peer", "MirrorMaker 2")):
        yield f'<rect class="{kind}" x="{left}" y="44" width="12" height="12"/>'
        yield _text(left + 18, 55, text)
    yield f'<line class="target" x1="{MARGIN + 204}" x2="{MARGIN + 204}" y1="43" y2="57"/>'
    yield _text(MARGIN + 212, 55, "target for mesh")
    yield f'<path class="spread" d="{_whisker(MARGIN + 330, MARGIN + 348, 50)}"/>'
    yield _text(MARGIN + 356, 55, "least to most of the repeats")


def _panel(left: int, rows: Sequence[Bars]) -> Iterator[str]:
    longest = max(max(row.mesh.most, row.peer.most, row.target or 0.0) for row in rows) or 1.0
    scale = (PANEL - ROOM) / longest
    for at, row in enumerate(rows):
        for kind, value, top in (("mesh", row.mesh, _top(at)), ("peer", row.peer, _top(at) + BAR)):
            yield f'<rect class="{kind}" x="{left}" y="{top}" width="{value.median * scale:.1f}" height="{BAR - 2}"/>'
            middle, end = top + BAR / 2 - 1, value.median
            if value.most > value.least:
                path = _whisker(left + value.least * scale, left + value.most * scale, middle)
                yield f'<path class="spread" d="{path}"/>'
                end = value.most
            if kind == "mesh" and row.target is not None:
                x = left + row.target * scale
                yield f'<line class="target" x1="{x:.1f}" x2="{x:.1f}" y1="{top - 3}" y2="{top + BAR + 1}"/>'
                end = max(end, row.target)
            yield _text(left + end * scale + 6, top + BAR - 4, _number(value.median), "small")


def _top(at: int) -> int:
    return HEAD + at * (2 * BAR + GAP)


def _whisker(left: float, right: float, y: float) -> str:
    return f"M{left:.1f} {y - 3:.1f}v6M{left:.1f} {y:.1f}H{right:.1f}M{right:.1f} {y - 3:.1f}v6"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    given = parser.parse_args(arguments)
    found = lines(loaded(given.results).get(CATCH_UP, {"rows": []}))
    if not found:
        print(f"{given.results} has no row that both have copied")
        return 1
    given.output.write_text(svg(found), encoding="utf-8")
    print(f"{given.output}: {len(found)} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
