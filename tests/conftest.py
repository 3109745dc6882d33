"""What every test has: a hypothesis profile that does not judge a shared machine's speed."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# gRPC reads it once, at its import: its own lines would stand between ours.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

# A deadline per example fails on a busy machine, not on a wrong program; pytest's timeout ends what hangs.
settings.register_profile("mesh", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mesh")

LONGEST = ("tests/matrix/", "scenarios/test_three_brokers", "scenarios/test_kafka_kills", "scenarios/test_replicas")
"""First, so that no process is left with a long one when the others have ended."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not any(part in item.nodeid for part in LONGEST))
