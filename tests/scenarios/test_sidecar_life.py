"""The life of a gateway beside an application: what is read again while it runs, waiting for it, stopping after it."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from gateway.ports_file import read_ports
from gateway.sidecar.asking import why_not_ready
from tests.support.organization import Organization, stop_all, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[Organization]:
    organization = Organization.init(tmp_path / "acme", "acme.example")
    organization.settings = ("listen.local_http=127.0.0.1:0",)
    with stop_all(organization):
        yield organization


def settings(acme: Organization) -> dict[str, Any]:
    found: dict[str, Any] = acme.mesh("config", "explain", "--running", "--json").json
    return found | {each["key"]: each["value"] for each in found["settings"]}


def rewrite(acme: Organization, **keys: str) -> None:
    """Keys of the file as KEY__NAME="toml", in the place of what stands there."""
    path = acme.home / "mesh.toml"
    lines = path.read_text().splitlines()
    for key, value in keys.items():
        table, _, name = key.partition("__")
        at = lines.index(f"[{table}]")
        at = next(n for n in range(at, len(lines)) if lines[n].lstrip("# ").startswith(f"{name} = "))
        lines[at] = f"{name} = {value}"
    path.write_text("\n".join(lines) + "\n")


def test_a_changed_file_is_taken_as_far_as_it_can_be_and_refused_where_it_is_wrong(acme: Organization) -> None:
    acme.start()

    # 1. a file that changes is read again by itself: what can be taken is, the rest waits and is named
    rewrite(acme, log__level='"debug"', timing__drain_pre_s="3", limits__frame_bytes="65536")
    found = wait_for("the file to be taken", lambda: (s := settings(acme))["log.level"] == "debug" and s)
    assert (found["timing.drain_pre_s"], found["limits.frame_bytes"]) == (3, 1 << 20)
    assert found["restart"] == ["limits.frame_bytes"]
    assert "limits.frame_bytes in the file waits for a restart" in wait_for_log(acme, "keys of the configuration wait")

    # 2. a file that is wrong changes nothing and says why, until it is right again
    rewrite(acme, log__level='"loud"')
    assert acme.process is not None
    acme.process.send_signal(signal.SIGHUP)
    fault = wait_for("the file to be refused", lambda: settings(acme)["fault"])
    assert "log.level" in fault
    assert settings(acme)["log.level"] == "debug"
    assert acme.refuses("config", "reload").code == "config-invalid"
    rewrite(acme, log__level='"info"')
    said = acme.mesh("config", "reload")
    assert (said.out.splitlines()[0], settings(acme)["fault"]) == ("in force now: log.level", "")

    # 3. what was changed stands in the audit log, by whom
    entries = acme.mesh("audit", "list", "--action", "config.changed", "--json").lines
    assert [entry["actor"] for entry in entries] == ["gateway", "operator"]

    # 4. told to stop, it is not ready at once and takes records for as long as it was told to
    acme.mesh("topic", "create", "late")
    begun = time.monotonic()
    acme.process.send_signal(signal.SIGTERM)
    why = wait_for("not ready", lambda: why_not_ready(acme.admin))
    assert "the gateway is stopping" in why
    assert publish(acme, "late", "the last word") == 200
    assert (acme.process.wait(30), time.monotonic() - begun > 2.9) == (0, True)

    # 5. and they are there when it is back
    acme.stop()
    acme.start("timing.drain_pre_s=0")
    assert [record["value"] for record in acme.mesh("topic", "read", "late").lines] == ["the last word"]


def wait_for_log(acme: Organization, event: str) -> str:
    """What it says of its readiness once it has logged `event`."""
    wait_for(event, lambda: event in acme.log)
    with urlopen(f"http://{acme.admin}/readyz?verbose", timeout=5) as answer:
        text: str = answer.read().decode()
        return text


def publish(acme: Organization, topic: str, value: str) -> int:
    """As an application does it; the status of the answer."""
    ports = read_ports(acme.home / "state")
    assert ports is not None
    token = (acme.home / "state" / "local.token").read_text().split()[0]
    headers = {"mesh-api-token": token, "Content-Type": "application/json"}
    body = json.dumps({"records": [{"value": value}]}).encode()
    asked = Request(f"http://{ports.local_http}/v1/topics/{topic}/records?encoding=text", body, headers, method="POST")
    with urlopen(asked, timeout=10) as answer:
        status: int = answer.status
        return status


def test_a_job_waits_for_its_gateway_and_stops_it_after_itself(acme: Organization) -> None:
    script = "import os, signal, sys; print(sys.argv[1:], flush=True); os.kill(os.getpid(), signal.SIGUSR1)"
    words = [sys.executable, "-m", "gateway.cli.main", "--dir", str(acme.home), "await", "--shutdown", "--"]
    job = subprocess.Popen([*words, sys.executable, "-c", script, "--a", "b"], stdout=subprocess.PIPE, text=True)
    try:
        # 1. it was started before its gateway, and waits
        acme.start()

        # 2. the job ran, its end is the exit code, and the gateway has ended in order
        out, _ = job.communicate(timeout=30)
        assert (json.loads(out.replace("'", '"')), job.returncode) == (["--a", "b"], 128 + signal.SIGUSR1)
        assert acme.process is not None
        assert acme.process.wait(30) == 0
    finally:
        job.kill()
        job.wait()


def test_a_watched_status_stays_through_a_restart_of_its_gateway(acme: Organization) -> None:
    acme.start()
    leader, follower = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
    words = [sys.executable, "-m", "gateway.cli.main", "--dir", str(acme.home), "status", "--watch"]
    watcher = subprocess.Popen(words, stdout=follower, stderr=follower, env=environ)
    os.close(follower)
    try:
        assert "\x1b[1m" in shown_until(leader, "acme.example/gw-1")  # a table for eyes: bold on a terminal
        acme.stop()
        shown_until(leader, "the last it said is from")
        acme.start()
        shown_until(leader, "no lanes")
        watcher.send_signal(signal.SIGINT)
        assert watcher.wait(20) == 0
    finally:
        watcher.kill()
        watcher.wait()
        os.close(leader)


def shown_until(terminal: int, words: str) -> str:
    """What appears on a terminal from now on, until `words` do."""
    seen = ""
    deadline = time.monotonic() + 30
    while words not in seen:
        readable, _, _ = select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))
        assert readable, f"waited in vain for {words!r} in {seen[-2000:]!r}"
        seen += os.read(terminal, 65536).decode(errors="replace")
    return seen
