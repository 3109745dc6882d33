"""The demo, step by step: an airport authority shares its departures with an airline.

Each step is one plain line and the commands that it takes. The importing gateway is killed while records flow: it is
polled often, and killed as soon as about half of all flights are copied. The rest of the flights is published while it
is down, so that there is always something left to mirror, however fast the machine.
"""

from __future__ import annotations

import json
import shlex
import shutil
import socket
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gateway.demo.errors import StepFailed
from gateway.demo.flights import COUNT, find_file
from gateway.demo.shell import GatewayProcess, Shell
from gateway.verify.findings import KINDS, closing_line

PORTS, WINGS = "ports.example", "wings.example"
TOPIC, COPY = "departures", "ports.departures"
SUBSCRIPTION = "departures"
PARTITIONS = 3

FIRST_SHARE = 0.9
"""What is published before the kill: so much that records still flow when half of all flights have passed by."""
KILL_SHARE = 0.5
MIRROR_S = 300.0
POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Ending:
    """What remains to be said after the story."""

    closing: str
    verified: bool


def tell(shell: Shell, limit: int | None) -> Ending:
    """The whole story with the first `limit` flights. Raises FlightsMissing, StepFailed, TookTooLong."""
    find_file()
    count = min(limit or COUNT, COUNT)
    first = max(1, int(count * FIRST_SHARE))
    shell.say(f"Working in {shell.directory}: every command below can be typed there.")
    _organizations(shell)
    wings = _pair(shell)
    _publish(shell, first)
    _share(shell)
    killed_at = _mirror_and_kill(shell, wings, count)
    wings = _back_again(shell, first, count)
    _translate(shell, count)
    return _verify(shell, count, killed_at)


def _organizations(shell: Shell) -> None:
    shell.tell("\n1. Two organizations, each with its own CA, log and gateway: an airport authority and an airline.")
    listen = free_addresses(4)
    for organization, directory in ((PORTS, "ports"), (WINGS, "wings")):
        shell.mesh(
            "init", "--org", organization, "--dir", directory, "--listen", listen.pop(), "--admin", listen.pop(),
            "--local-http", "", "--local-grpc", "",
        )  # fmt: skip
    shell.start("ports")


def _pair(shell: Shell) -> GatewayProcess:
    wings = shell.start("wings")
    shell.tell("\n2. They pair: each adds the file that the other exported. Trust only, nothing is shared yet.")
    for directory, other in (("ports", "wings"), ("wings", "ports")):
        shell.mesh("--dir", directory, "peer", "export", "--output", f"{directory}.peer")
        shell.mesh("--dir", other, "peer", "add", f"{directory}.peer")
    client = wings.client()
    shell.wait("the gateways are linked", lambda: bool(client.get("/v1/status")["links"]))
    return wings


def _publish(shell: Shell, first: int) -> None:
    shell.tell(f"\n3. The airport publishes departures of 2013, the first {first:,}, keyed by tail number.")
    shell.mesh("--dir", "ports", "topic", "create", TOPIC, "--partitions", str(PARTITIONS))
    began = time.monotonic()
    shell.publish("ports", TOPIC, 0, first)
    shell.say(f"  published {first:,} records in {time.monotonic() - began:.1f} s")


def _share(shell: Shell) -> None:
    shell.tell("\n4. It shares the topic and grants the share to the airline, which sees it in the catalog.")
    shell.mesh("--dir", "ports", "share", "create", TOPIC, "--topic", TOPIC)
    shell.mesh("--dir", "ports", "grant", "create", TOPIC, "--to", WINGS)
    shell.say(indented(shell.mesh("--dir", "wings", "catalog", "--peer", PORTS)))


def _mirror_and_kill(shell: Shell, wings: GatewayProcess, count: int) -> int:
    shell.tell("\n5. The airline subscribes. Half-way its gateway is killed with SIGKILL.")
    target = max(1, int(count * KILL_SHARE))
    pid = wings.process.pid
    mapping = f"{TOPIC}={COPY}"
    subscribe = ("--dir", "wings", "subscribe", f"{PORTS}/{TOPIC}", "--topic", mapping, "--name", SUBSCRIPTION)
    shell.show(shlex.join(("mesh", *subscribe)))
    # Watched from the start: all that is published may be mirrored before the command has ended.
    with ThreadPoolExecutor(1) as pool:
        subscribing = pool.submit(shell.mesh, *subscribe, quiet=True)
        copied = _mirror(shell, wings, target, count, subscribing)
        wings.kill()
        subscribing.result()
    shell.show(f"kill -9 {pid}")
    shell.say(f"  killed with {copied:,} of {count:,} records mirrored")
    return copied


def _back_again(shell: Shell, first: int, count: int) -> GatewayProcess:
    shell.tell(f"\n6. While it is down the airport goes on publishing: {count - first:,} more. Then it starts again.")
    shell.publish("ports", TOPIC, first, count)
    wings = shell.start("wings")
    began = time.monotonic()
    _mirror(shell, wings, count, count)
    shell.say(f"  {count:,} of {count:,} records mirrored, {time.monotonic() - began:.1f} s after it was back")
    return wings


def _mirror(
    shell: Shell, wings: GatewayProcess, target: int, count: int, subscribing: Future[str] | None = None
) -> int:
    """Wait until `target` records are mirrored; how many they were then. Raises what `subscribing` does."""
    client, copied = wings.client(), 0
    columns = (TextColumn("  mirroring"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=shell.console, transient=True, disable=not shell.console.is_terminal) as progress:
        task = progress.add_task("mirroring", total=count)

        def arrived() -> bool:
            nonlocal copied
            if subscribing is not None and subscribing.done():
                subscribing.result()
            lanes = client.get("/v1/status")["lanes"]
            stopped = next((lane for lane in lanes if lane["state"] == "stopped"), None)
            if stopped is not None:
                raise StepFailed(f"mirror {stopped['lane']}", f"{stopped['reason']}; {stopped['remedy']}")
            copied = sum(int(lane["records"]) for lane in lanes)
            progress.update(task, completed=copied)
            return copied >= target

        shell.wait(f"{target:,} records are mirrored", arrived, MIRROR_S, POLL_S)
    return copied


def _translate(shell: Shell, count: int) -> None:
    shell.tell("\n7. Every source offset has one answer, and back: a consumer can move between the two logs.")
    end = _shortest(shell)
    for offset in sorted({0, end // 2, end - 1}):
        _offsets(shell, "--offset", str(offset))
    _offsets(shell, "--offset", str(end // 2), "--reverse")


def _shortest(shell: Shell) -> int:
    """The end of partition 0: how far offsets can be asked for."""
    topics: list[dict[str, Any]] = json.loads(shell.mesh("--dir", "wings", "topic", "list", "--json", quiet=True))
    ranges = next(topic["ranges"] for topic in topics if topic["name"] == COPY)
    return max(1, int(ranges[0]["end"]))


def _offsets(shell: Shell, *arguments: str) -> None:
    answer = shell.mesh(
        "--dir", "wings", "offsets", "translate", SUBSCRIPTION, "--topic", TOPIC, "--partition", "0", *arguments
    )  # fmt: skip
    shell.say(indented(answer))


def _verify(shell: Shell, count: int, killed_at: int) -> Ending:
    shell.tell("\n8. Verify: both logs record by record, and every offset, with code that the mirror does not use.")
    began = time.monotonic()
    *found, closing = shell.mesh("--dir", "wings", "verify", SUBSCRIPTION, check=False).splitlines()
    shell.say(indented("\n".join(found)))
    verified = closing == closing_line(count, dict.fromkeys(KINDS, 0))
    shell.say(f"  compared in {time.monotonic() - began:.1f} s")
    shell.tell(
        "\nWhat happened: one company's records are in the other's own log, with the same keys, values, timestamps, "
        "order and offsets. The gateway that copied them was killed without warning; it asked its own log where it "
        f"had stopped ({killed_at:,} records) and went on there: nothing is missing and nothing is there twice."
    )
    return Ending(closing, verified)


def free_addresses(count: int) -> list[str]:
    """Loopback addresses that nobody listens on at the moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    finally:
        for each in sockets:
            each.close()


def indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _activation() -> str:
    """What the shell lacks where `mesh` was started by its path: the commands below would not be found."""
    here = Path(sys.executable).parent
    return "" if shutil.which("mesh") == str(here / "mesh") else f"  export PATH={here}:$PATH\n"


def hints(directory: Path, *, kept: bool) -> str:
    """Where to look next."""
    if not kept:
        return "Next: `mesh demo --keep` leaves both gateways running; docs/tutorial.md does the same by hand."
    return (
        "Both gateways are still running. Next, type:\n"
        f"{_activation()}  cd {directory}\n"
        "  mesh --dir wings status --watch\n"
        f"  mesh --dir wings topic read {COPY} --max 3\n"
        f'  echo \'{{"key": "N1", "value": "hello"}}\' | mesh --dir ports topic append {TOPIC}\n'
        f"  mesh --dir wings verify {SUBSCRIPTION}\n"
        f"  mesh --dir ports grant revoke {TOPIC} --from {WINGS}\n"
        "and at the end:"
    )
