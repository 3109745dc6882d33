"""What every test has: a hypothesis profile that does not judge a shared machine's speed."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.matrix.table import Matrix, from_json, table, to_json

# gRPC reads it once, at its import: its own lines would stand between ours.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

# A shell that starts the tests in the background lets them ignore interrupts, and so would every process they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A deadline per example fails on a busy machine, not on a wrong program; pytest's timeout ends what hangs. In CI the
# same tree gets the same examples, so that it gets the same verdict; elsewhere each run draws others.
settings.register_profile(
    "mesh", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("mesh")

LONGEST = ("tests/matrix/", "scenarios/test_three_brokers", "scenarios/test_kafka_kills", "scenarios/test_replicas")
"""First, so that no process is left with a long one when the others have ended."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not any(part in item.nodeid for part in LONGEST))


@pytest.fixture
def restored_logs() -> Iterator[None]:
    """What `gateway.logs.configure` changes is undone."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.fixture
def cheap_invites(monkeypatch: pytest.MonkeyPatch) -> None:
    """Words of invites cost next to nothing to try: for tests that are not about what it costs to guess."""
    monkeypatch.setattr("mesh.trust.invite.SCRYPT_N", 1 << 4)


# The matrix as it was judged, printed at the end of the run, whichever process judged it: the process that hands tests
# to others knows no other conftest than this.

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
