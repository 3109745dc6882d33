from __future__ import annotations

import subprocess
import sys

FAULTS = """
import resource, sys
from gateway.heap import keep_pages
if "keep" in sys.argv:
    keep_pages()
work = lambda: [bytes(bytearray(600_000)) for _ in range(3)]
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_pages_of_buffers_are_not_faulted_in_again_and_again() -> None:
    def faults(*arguments: str) -> int:
        command = [sys.executable, "-c", FAULTS, *arguments]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert faults("keep") < faults() / 10
