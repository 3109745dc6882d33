"""Pages of the documentation of which a part is generated: it stands between two markers, and has tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence


def placed(page: str, begin: str, text: str, end: str) -> str:
    """The page with `text` between its markers. Raises ValueError where it has none."""
    before, _, rest = page.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"the page has no {begin} and {end}")
    return f"{before}{begin}\n\n{text}\n{end}{after}"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"
