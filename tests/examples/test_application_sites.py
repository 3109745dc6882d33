"""The applications of examples/application beside real gateways of two companies, as their README tells it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.organization import Organization, stop_all

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "application"
LOCAL = ("--local-http", "", "--local-grpc", "127.0.0.1:0")


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[tuple[Organization, Organization]]:
    """ACME, whose orders GLOBEX mirrors."""
    acme, globex = (Organization.init(tmp_path / name, f"{name}.example", *LOCAL) for name in ("acme", "globex"))
    with stop_all(acme, globex):
        acme.start()
        globex.start()
        acme.pair(globex)
        acme.mesh("topic", "create", "orders", "--partitions", "2")
        acme.mesh("share", "create", "sales", "--topic", "orders")
        acme.mesh("grant", "create", "sales", "--to", globex.org, "--groups", "write")
        globex.mesh("subscribe", "acme.example/sales", "--topic", "orders=acme.orders")
        yield acme, globex


def environment(site: Organization) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "MESH_API_STATE": str(site.home / "state")}


def run(site: Organization, script: str, *arguments: str | int | Path, stdin: str = "") -> list[str]:
    """What a script prints that runs beside the gateway of `site`."""
    program = ["sh"] if script.endswith(".sh") else [sys.executable]
    command = [*program, str(EXAMPLES / script), *map(str, arguments)]
    done = subprocess.run(
        command, input=stdin, env=environment(site), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def orders(count: int, first: int = 0) -> str:
    return "".join(json.dumps({"id": n, "customer": f"c{n % 7}"}) + "\n" for n in range(first, first + count))


def ids(lines: list[str]) -> list[int]:
    return sorted(json.loads(line)["id"] for line in lines)


def test_a_consumer_moves_to_the_partner_and_each_order_is_processed_once(
    sites: tuple[Organization, Organization], tmp_path: Path
) -> None:
    acme, globex = sites

    # 1. orders are published at ACME, and processed there for a while
    assert run(acme, "publish.py", "orders", stdin=orders(300)) == [
        "300 orders are in orders, 0 of them from an earlier run"
    ]
    processed = run(acme, "fail_over.py", "orders", "--cursor", "billing", "--max", 120)

    # 2. the operator moves the cursor, and the consumer goes on at GLOBEX
    globex.mesh("groups", "translate", "billing", "--subscription", "sales", "--commit", "--wait", "60")
    processed += run(globex, "fail_over.py", "acme.orders", "--cursor", "billing", "--until-end")
    assert ids(processed) == list(range(300))

    # 3. the sums at GLOBEX count each copy once, also in a second run
    for _ in range(2):
        rows = run(globex, "exactly_once.py", "acme.orders", tmp_path / "sums.db", "--until-end")
        assert sum(int(row.split()[1]) for row in rows) == 300

    # 4. ACME asks for one of its records, and GLOBEX finds the copy
    (told,) = run(globex, "support_case.py", "sales", "orders", 1, 5)
    assert told.startswith("our copy is acme.orders[1] at 5: c")


def test_a_job_runs_beside_a_gateway_of_its_own(tmp_path: Path) -> None:
    acme = Organization.init(tmp_path / "acme", "acme.example", *LOCAL)
    with stop_all(acme):
        judge_job(acme)


def judge_job(acme: Organization) -> None:
    acme.start()
    acme.mesh("topic", "create", "orders")
    run(acme, "publish.py", "orders", stdin=orders(10))
    acme.stop()

    # the gateway is started by the script, and has ended when it returns; nothing is published twice
    assert run(acme, "job.sh", acme.home, "orders", stdin=orders(20)) == [
        "20 orders are in orders, 10 of them from an earlier run"
    ]
    acme.start()
    assert ids(run(acme, "fail_over.py", "orders", "--cursor", "audit", "--until-end")) == list(range(20))
