"""What every test has: a hypothesis profile that does not judge a shared machine's speed."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A deadline per example fails on a busy machine, not on a wrong program; pytest's timeout ends what hangs.
settings.register_profile("mesh", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mesh")
