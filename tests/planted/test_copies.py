"""A copy has the patch, the work tree has not, and nothing that ran in the copy is left."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.planted.copies import ROOT, PatchRefused, check, patched, run, touched

PATCH = """A module says something else of itself.
--- a/mesh/log.py
+++ b/mesh/log.py
@@ -1,2 +1,2 @@
-{first}
+\"\"\"Planted: what a log says.\"\"\"

"""
PROGRAM = """
import mesh.log, gateway, certs, tests
print(mesh.log.__doc__.split()[0], *(each.__path__[0] for each in (gateway, certs, tests)))
"""


@pytest.fixture
def patch(tmp_path: Path) -> Path:
    first = (ROOT / "mesh/log.py").read_text().splitlines()[0]
    path = tmp_path / "a.patch"
    path.write_text(PATCH.format(first=first))
    return path


def test_what_runs_in_a_copy_imports_the_patched_product(patch: Path) -> None:
    with patched(patch) as directory:
        done = run(directory, [sys.executable, "-c", PROGRAM], 20)
        assert done.stdout.split() == ["Planted:", *(f"{directory}/{name}" for name in ("gateway", "certs", "tests"))]
    assert not directory.exists()
    assert "Planted" not in (ROOT / "mesh/log.py").read_text()


def test_a_patch_that_does_not_apply_is_refused(patch: Path) -> None:
    assert check(patch) == ""
    assert touched(patch) == ["mesh/log.py"]
    patch.write_text(patch.read_text().replace('-"', "-'"))
    assert "does not apply" in check(patch)
    with pytest.raises(PatchRefused), patched(patch):
        pass


def test_what_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    said = tmp_path / "pid"
    shell = ["sh", "-c", f"sleep 600 & echo $! > {said}; wait"]
    with pytest.raises(subprocess.TimeoutExpired):
        run(tmp_path, shell, 0.5)
    state = Path(f"/proc/{said.read_text().strip()}/stat")
    deadline = time.monotonic() + 5
    while state.exists() and state.read_text().split()[2] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)
