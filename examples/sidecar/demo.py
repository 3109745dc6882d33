"""`make demo-sidecar`: two applications, each with a gateway beside it, and a partner that is away for a while.

An airport's application announces departures, an airline's keeps a board of them. Neither knows of the other's company,
of certificates or of connections. The airport's gateway is killed while its application publishes; the airline's whole
site is off while the airport goes on. At the end both say the same of every flight, and both logs are compared.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from examples.sidecar.board import Board
from gateway.cli import output
from gateway.demo.flights import find_file, lines
from gateway.demo.interrupts import Interrupts
from gateway.demo.shell import GatewayProcess, Shell
from gateway.demo.story import PARTITIONS, PORTS, SUBSCRIPTION, TOPIC, WINGS, free_addresses, indented
from gateway.verify.findings import KINDS, closing_line

HERE = Path(__file__).parent
FLIGHTS = 60_000


def tell(shell: Shell, count: int) -> str:
    """The whole story; the closing line. Raises StepFailed, TookTooLong."""
    find_file()
    for script in ("announce.py", "board.py"):
        shutil.copy(HERE / script, shell.directory)
    shell.say(f"Working in {shell.directory}: every command below can be typed there.")
    half, most = count // 2, count * 4 // 5
    ports, wings = _organizations(shell)
    _first_half(shell, ports, half)
    wings = _partner_away(shell, wings, half, most)
    _gateway_killed(shell, most, count)
    return _compare(shell, count)


def _organizations(shell: Shell) -> tuple[GatewayProcess, GatewayProcess]:
    shell.tell("\n1. An airport authority and an airline, each with a gateway beside its application; they pair.")
    listen = free_addresses(8)
    for organization, directory in ((PORTS, "ports"), (WINGS, "wings")):
        shell.mesh(
            "init", "--org", organization, "--dir", directory, "--listen", listen.pop(), "--admin", listen.pop(),
            "--local-http", listen.pop(), "--local-grpc", listen.pop(),
        )  # fmt: skip
    ports, wings = shell.start("ports"), shell.start("wings")
    for directory, other in (("ports", "wings"), ("wings", "ports")):
        shell.mesh("--dir", directory, "peer", "export", "--output", f"{directory}.peer")
        shell.mesh("--dir", other, "peer", "add", f"{directory}.peer")
    shell.mesh("--dir", "ports", "topic", "create", TOPIC, "--partitions", str(PARTITIONS))
    shell.mesh("--dir", "ports", "share", "create", TOPIC, "--topic", TOPIC)
    shell.mesh("--dir", "ports", "grant", "create", TOPIC, "--to", WINGS)
    client = wings.client()
    shell.wait("the gateways are linked", lambda: bool(client.get("/v1/status")["links"]))
    return ports, wings


def _first_half(shell: Shell, ports: GatewayProcess, half: int) -> None:
    shell.tell("\n2. The airport's application announces; the airline's subscribes by itself, and keeps its board.")
    board = shell.application("wings", "board.py", "--until", str(half))
    announcing = shell.application("ports", "announce.py", "--to", str(half))
    shell.say(indented(shell.finish(announcing, "announce.py")))
    shell.say(indented(shell.finish(board, "board.py")))


def _partner_away(shell: Shell, wings: GatewayProcess, half: int, most: int) -> GatewayProcess:
    shell.tell(
        "\n3. The airline's site goes dark. The airport's application does not notice: its gateway keeps all of it."
    )
    shell.show(f"kill -9 {wings.process.pid}")
    wings.kill()
    began = time.monotonic()
    announcing = shell.application("ports", "announce.py", "--from", str(half), "--to", str(most))
    shell.say(indented(shell.finish(announcing, "announce.py")))
    shell.say(f"  durable at the airport {time.monotonic() - began:.1f} s later, with nobody to send them to")
    shell.tell("   The airline's application starts before its gateway, and waits for it. Then the site is back.")
    board = shell.application("wings", "board.py", "--until", str(most))
    wings = shell.start("wings")
    shell.say(indented(shell.finish(board, "board.py")))
    return wings


def _gateway_killed(shell: Shell, most: int, count: int) -> None:
    shell.tell(
        "\n4. The airport's gateway is killed while its application publishes. The application waits and repeats."
    )
    ports = shell.gateway("ports")
    announcing = shell.application("ports", "announce.py", "--from", str(most), "--to", str(count))
    client = ports.client()
    target = most + (count - most) // 4

    def under_way() -> bool:
        if announcing.poll() is not None:
            return True
        (topic,) = (each for each in client.get("/v1/topics", ranges=True)["topics"] if each["name"] == TOPIC)
        return sum(int(partition["end"]) for partition in topic["ranges"]) >= target

    shell.wait(f"{target:,} flights are announced", under_way, every_s=0.005)
    ended = announcing.poll() is not None
    shell.show(f"kill -9 {ports.process.pid}")
    ports.kill()
    shell.say("  killed after the application had ended" if ended else "  killed in the middle of it")
    shell.start("ports")
    shell.say(indented(shell.finish(announcing, "announce.py")))
    board = shell.application("wings", "board.py", "--until", str(count))
    shell.say(indented(shell.finish(board, "board.py")))


def _compare(shell: Shell, count: int) -> str:
    shell.tell("\n5. The board against the timetable, and both logs record by record.")
    expected: dict[str, tuple[int, int]] = {}
    for line in lines(0, count):
        flight = json.loads(line)["value"]
        flights, delay = expected.get(flight["carrier"], (0, 0))
        expected[flight["carrier"]] = (flights + 1, delay + (flight["dep_delay"] or 0))
    board = Board(shell.directory / "board.sqlite")
    same = board.carriers == expected
    board.close()
    verdict = "agree" if same else "DIFFER"
    shell.say(f"  the board and the timetable {verdict} on {count:,} flights of {len(expected)} carriers")
    *_, closing = shell.mesh("--dir", "wings", "verify", SUBSCRIPTION, check=False).splitlines()
    return closing if same else f"the board differs; {closing}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Two applications, two gateways beside them, a partner that is away.")
    parser.add_argument("--flights", type=int, default=FLIGHTS, help="how many departures are announced")
    count = max(10, parser.parse_args().flights)
    directory = Path(tempfile.mkdtemp(prefix="mesh-demo-"))
    interrupts = Interrupts()
    shell = Shell(directory, output.console(), interrupts)
    try:
        interrupts.listen()
        closing = tell(shell, count)
        shell.say(f"\n{closing}")
    except KeyboardInterrupt:
        output.note("interrupted: ending both gateways")
        sys.exit(130)
    finally:
        shell.close()
        shutil.rmtree(directory, ignore_errors=True)
    sys.exit(0 if closing == closing_line(count, dict.fromkeys(KINDS, 0)) else 1)


if __name__ == "__main__":
    main()
