"""The broker harness: says why a start fails, and leaves nothing behind."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.brokers import Broker, BrokerConfig
from tests.support.jars import ROOT

pytestmark = pytest.mark.kafka


def _is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_a_broker_that_does_not_start_shows_its_log() -> None:
    with pytest.raises(RuntimeError, match=r"Invalid value nonsense"):
        Broker.start(BrokerConfig(properties={"log.segment.bytes": "nonsense"}))


def test_a_broker_does_not_outlive_a_parent_that_is_killed() -> None:
    words = (
        "import sys; from tests.support.brokers import *; b = Broker(BrokerConfig());"
        "b.format(); b.launch(); print(b.pid, b.directory, flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", words], cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as parent:
        assert parent.stdout is not None
        pid, directory = parent.stdout.readline().split()
        assert _is_alive(int(pid))
        descriptor = os.pidfd_open(int(pid))
        parent.kill()
        parent.wait()
        assert select.select([descriptor], [], [], 10)[0], "the broker lives on"
        os.close(descriptor)
    assert not _is_alive(int(pid))
    shutil.rmtree(directory)
