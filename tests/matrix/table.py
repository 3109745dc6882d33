"""The matrix as text: a row for each kind of source, a column for each fault."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Matrix:
    rows: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    cells: dict[tuple[str, str], str] = field(default_factory=dict)
    left_out: set[tuple[str, str]] = field(default_factory=set)
    """Cells that cannot be."""
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
        cells = (_cell(matrix, row, column).rjust(widths[column]) for column in matrix.columns)
        yield row.ljust(width) + "".join(cells)
    yield f"{len(matrix.cells)} cells: {matrix.records:,} records and {matrix.translations:,} translations compared"


def _cell(matrix: Matrix, row: str, column: str) -> str:
    return matrix.cells.get((row, column)) or ("n/a" if (row, column) in matrix.left_out else "-")


def to_json(matrix: Matrix) -> str:
    cells = [[*place, said] for place, said in matrix.cells.items()]
    left_out = [list(place) for place in matrix.left_out]
    return json.dumps([matrix.rows, matrix.columns, cells, left_out, matrix.records, matrix.translations])


def from_json(text: str) -> Matrix:
    rows, columns, cells, left_out, records, translations = json.loads(text)
    judged = {(row, column): said for row, column, said in cells}
    return Matrix(rows, columns, judged, {(row, column) for row, column in left_out}, records, translations)
