"""`mesh demo` as a reader runs it: what it ends with, that it kills a gateway, and that it leaves nothing behind."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

LIMIT = 6000
CLOSING = f"verified: {LIMIT} records, 0 lost, 0 duplicated, 0 reordered, 0 altered, 0 wrong translations"
RUN_S = 150

pytestmark = [pytest.mark.slow, pytest.mark.timeout(RUN_S + 30)]


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Where the demo makes its directory; short, whatever the test's name."""
    directory = Path(tempfile.mkdtemp(prefix="mesh-test-"))
    yield directory
    shutil.rmtree(directory)


@contextmanager
def demo(scratch: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "gateway.cli.main", "demo", "--limit", str(LIMIT), *arguments],
        env=os.environ | {"TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            # Where the test failed, it shall clean up after itself all the same.
            process.terminate()
            process.communicate(timeout=RUN_S)


def test_the_demo_kills_a_gateway_and_ends_with_the_closing_line(scratch: Path) -> None:
    with demo(scratch) as process:
        out, err = process.communicate(timeout=RUN_S)
    assert process.returncode == 0, out + err
    assert out.splitlines()[-1] == CLOSING
    killed = re.search(r"\$ kill -9 (\d+)\n\s+killed with ([\d,]+) of 6,000 records mirrored", out)
    assert killed is not None, out
    assert LIMIT * 0.5 <= int(killed[2].replace(",", "")) <= LIMIT * 0.9
    assert "source 0 is destination 0" in out
    assert list(scratch.iterdir()) == []


def test_an_interrupted_demo_leaves_no_process_and_no_file(scratch: Path) -> None:
    with demo(scratch) as process:
        assert process.stdout is not None
        assert any("topic create" in line for line in process.stdout), "it ended early"
        # Both gateways, and perhaps the command.
        assert len(running_in(scratch)) >= 2
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=RUN_S)
    assert (process.returncode, "interrupted" in err) == (130, True)
    assert running_in(scratch) == []
    assert list(scratch.iterdir()) == []


def test_a_kept_demo_says_what_to_type_next_and_how_to_end_it(scratch: Path) -> None:
    with demo(scratch, "--keep") as process:
        out, err = process.communicate(timeout=RUN_S)
    assert process.returncode == 0, out + err
    assert len(running_in(scratch)) == 2
    (directory,) = scratch.iterdir()
    status = subprocess.run(
        [Path(sys.executable).with_name("mesh"), "--dir", "wings", "status"],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "running" in status.stdout
    kill, remove = (next(line for line in out.splitlines() if line.startswith(f"  {word} ")) for word in ("kill", "rm"))
    subprocess.run(kill, shell=True, check=True, timeout=60)
    wait_until_gone(scratch)
    subprocess.run(remove, shell=True, check=True, timeout=60)
    assert list(scratch.iterdir()) == []


def running_in(directory: Path) -> list[int]:
    """The processes whose working directory lies in `directory`."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                place = os.readlink(process / "cwd")
            except OSError:
                continue
            if place.startswith(str(directory)):
                found.append(int(process.name))
    return found


def wait_until_gone(directory: Path) -> None:
    for pid in running_in(directory):
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            # A process descriptor becomes readable when the process ends.
            assert select.select([descriptor], [], [], 60)[0], f"process {pid} is still there"
        finally:
            os.close(descriptor)
