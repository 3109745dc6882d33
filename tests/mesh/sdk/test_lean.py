"""What an application pays for importing the SDK."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("gateway", "certs", "aiohttp", "aiokafka", "kio", "pydantic", "cryptography", "apsw", "structlog", "uvloop")


def test_an_application_imports_neither_the_gateway_nor_what_it_is_made_of() -> None:
    program = "import sys, mesh.sdk, mesh.sdk.sync, mesh.testing.local_gateway; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert {name.partition(".")[0] for name in loaded}.isdisjoint(HEAVY)
