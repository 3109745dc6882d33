"""The matrix as it was judged, printed at the end of the run, whichever process judged it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.matrix.table import Matrix, from_json, table, to_json

MATRIX = pytest.StashKey[Matrix]()


@pytest.fixture(scope="session")
def matrix(pytestconfig: pytest.Config) -> Matrix:
    """Cells by row and column, filled by the tests."""
    return pytestconfig.stash.setdefault(MATRIX, Matrix())


def pytest_sessionfinish(session: pytest.Session) -> None:
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    matrix = session.config.stash.get(MATRIX, None)
    if output is not None and matrix is not None:
        output["matrix"] = to_json(matrix)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker has ended: one of them has the matrix, since its tests go to one worker."""
    judged = getattr(node, "workeroutput", {}).get("matrix")
    if judged is not None:
        node.config.stash[MATRIX] = from_json(judged)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    matrix = config.stash.get(MATRIX, None)
    if matrix is not None and matrix.cells:
        terminalreporter.write_sep("=", "sources x faults")
        for line in table(matrix):
            terminalreporter.write_line(line)
