"""The matrix as text: a row for each kind of source, a column for each fault."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Matrix:
    rows: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    cells: dict[tuple[str, str], str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    records: int = 0
    translations: int = 0

    def judged(self, records: int, translations: int) -> None:
        self.records += records
        self.translations += translations


def table(matrix: Matrix) -> Iterator[str]:
    width = max(len(row) for row in matrix.rows) + 2
    widths = {column: max(len(column), 4) + 2 for column in matrix.columns}
    yield " " * width + "".join(column.rjust(widths[column]) for column in matrix.columns)
    for row in matrix.rows:
        cells = (matrix.cells.get((row, column), "n/a").rjust(widths[column]) for column in matrix.columns)
        yield row.ljust(width) + "".join(cells)
    yield f"{len(matrix.cells)} cells: {matrix.records:,} records and {matrix.translations:,} translations compared"
    yield from matrix.notes
