"""The matrix as it was judged, printed at the end of the run."""

from __future__ import annotations

import pytest

from tests.matrix.table import Matrix, table

MATRIX = pytest.StashKey[Matrix]()


@pytest.fixture(scope="session")
def matrix(pytestconfig: pytest.Config) -> Matrix:
    """Cells by row and column, filled by the tests."""
    return pytestconfig.stash.setdefault(MATRIX, Matrix())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    matrix = config.stash.get(MATRIX, None)
    if matrix is not None and matrix.cells:
        terminalreporter.write_sep("=", "sources x faults")
        for line in table(matrix):
            terminalreporter.write_line(line)
