"""What every test has: a hypothesis profile that does not judge a shared machine's speed."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# gRPC reads it once, at its import: its own lines would stand between ours.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

# A deadline per example fails on a busy machine, not on a wrong program; pytest's timeout ends what hangs.
settings.register_profile("mesh", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mesh")
