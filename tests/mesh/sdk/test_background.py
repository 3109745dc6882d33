"""The loop behind synchronous clients, and the end of the interpreter."""

from __future__ import annotations

import subprocess
import sys

UNREAD = """
from mesh.sdk.sync import Client
with Client("127.0.0.1:1", token="x") as client:
    reader = client.read("orders")
raise KeyboardInterrupt
"""


def test_a_program_that_is_interrupted_with_a_reader_at_hand_ends() -> None:
    done = subprocess.run([sys.executable, "-c", UNREAD], capture_output=True, text=True, timeout=20, check=False)

    assert done.returncode != 0
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")
