from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.machine.power import recorded
from tests.lab.machine.trace import Step


@pytest.fixture(scope="session")
def steps() -> list[Step]:
    """What one recorded lane did to its files."""
    return recorded()


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Where hundreds of logs are opened; in memory where that is possible, since all of them sync."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        yield Path(directory)
