"""What floods of connections, streams, resets and headers do to an honest partner: `python -m bench.floods`.

One gateway, an honest partner that asks for its catalog fifty times a second over its link, and a hostile one.
Each flood is measured beside the quiet before it, in one run: the honest partner's p50 and p99, the gateway's CPU and
memory, and both again after the flood. Attackers run in a process of their own at the lowest priority, so that on few
cores it is the gateway's work that counts, not theirs; their CPU stands beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench.flooding import FLOODS
from gateway.rpc.identity import Identity, load_identity
from mesh.link.errors import LinkLost
from mesh.link.frames import Reply, Request
from mesh.shares import PeerState
from mesh.trust.leaf import PeerTrust
from mesh.trust.peerfile import parse_peer_file
from mesh.wire.v1 import catalog_pb2
from tests.drills.door import Door, Speaker, speaking
from tests.support.figures import percentile
from tests.support.organization import Organization, stop_all

RESULT = Path(__file__).parent / "results" / "floods.json"
EVERY_S = 0.02
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Seen:
    """Of one stretch of time. Latencies in milliseconds."""

    calls: int
    failed: int
    p50_ms: float
    p99_ms: float
    gateway_cpu: float
    """Of one core."""
    rss_mib: int
    files: int


@dataclass
class Result:
    flood: str
    quiet: Seen
    flooded: Seen
    after: Seen
    attacker_cpu: float
    """Of one core."""
    done: dict[str, int] = field(default_factory=dict)
    """What the attacker counted."""

    @property
    def ratio(self) -> float:
        return self.flooded.p99_ms / self.quiet.p99_ms


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_mib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) // 1024


class Honest:
    """The partner whose latency counts."""

    def __init__(self, link: Speaker, gateway: int) -> None:
        self._link = link
        self._gateway = gateway
        self._asked = 0

    async def ask(self) -> None:
        """Raises LinkLost, TimeoutError."""
        await self._link.say(Request(self._asked, catalog_pb2.CatalogRequest()))
        self._asked += 1
        while not isinstance(frame := await self._link.hear(), Reply):
            if frame is None:
                raise LinkLost("the gateway closed it")

    async def watch(self, for_s: float) -> Seen:
        took: list[float] = []
        failed = 0
        began, cpu = time.monotonic(), cpu_s(self._gateway)
        while (at := time.monotonic()) < began + for_s:
            try:
                await self.ask()
                took.append((time.monotonic() - at) * 1000)
            except (LinkLost, TimeoutError):
                failed += 1
            await asyncio.sleep(max(0.0, EVERY_S - (time.monotonic() - at)))
        spent = (cpu_s(self._gateway) - cpu) / (time.monotonic() - began)
        files = len(os.listdir(f"/proc/{self._gateway}/fd"))
        p50, p99 = (percentile(took, part) if took else -1.0 for part in (0.5, 0.99))
        return Seen(len(took), failed, round(p50, 2), round(p99, 2), round(spent, 2), rss_mib(self._gateway), files)


@contextmanager
def attacking(flood: str, address: str, hostile: Organization, peer_file: Path) -> Iterator[subprocess.Popen[str]]:
    """The attacker's process, once it says that it has begun."""
    command = [
        "nice",
        "-n",
        "19",
        sys.executable,
        "-m",
        "bench.flooding",
        flood,
        address,
        str(hostile.home),
        str(peer_file),
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline(), f"{flood} did not begin"
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()


async def measure(
    flood: str, honest: Honest, gateway: Organization, hostile: Organization, file: Path, s: float
) -> Result:
    quiet = await honest.watch(s)
    with attacking(flood, gateway.peers, hostile, file) as attacker:
        cpu, began = cpu_s(attacker.pid), time.monotonic()
        flooded = await honest.watch(s)
        spent = (cpu_s(attacker.pid) - cpu) / (time.monotonic() - began)
        assert attacker.stdin is not None
        assert attacker.stdout is not None
        with suppress(OSError):
            attacker.stdin.close()
        done = json.loads(await asyncio.to_thread(attacker.stdout.readline) or "{}")
    await honest.watch(min(10.0, s))
    return Result(flood, quiet, flooded, await honest.watch(min(5.0, s)), round(spent, 2), done)


def identity_of(organization: Organization) -> Identity:
    keys = organization.home / "keys"
    return load_identity(keys / "gateway.pem", keys / "gateway.key")


async def run(floods: list[str], seconds: float, home: Path) -> list[Result]:
    gateway = Organization.init(home / "acme", "acme.example")
    honest, hostile = (Organization.init(home / name, f"{name}.example") for name in ("globex", "mallory"))
    with stop_all(gateway, honest, hostile):
        for each in (gateway, honest, hostile):
            each.start()
        for each in (honest, hostile):
            each.pair(gateway)
            each.stop()
        file = home / "acme.peer"
        file.write_text(gateway.mesh("peer", "export").out)
        trust = PeerTrust(PeerState.ACTIVE, parse_peer_file(file.read_text(), datetime.now(UTC)).bundle)
        assert gateway.process is not None
        results = []
        async with speaking(Door(gateway.peers, trust.bundle, list), identity_of(honest)) as link:
            await link.meet()
            asking = Honest(link, gateway.process.pid)
            await asking.watch(1)
            for flood in floods:
                results.append(await measure(flood, asking, gateway, hostile, file, seconds))
                _print(results[-1])
        return results


def _print(result: Result) -> None:
    quiet, flooded, after = result.quiet, result.flooded, result.after
    print(
        f"{result.flood:18} p99 {quiet.p99_ms:7.2f} -> {flooded.p99_ms:7.2f} ms  x{result.ratio:5.2f}"
        f"  p50 {quiet.p50_ms:5.2f} -> {flooded.p50_ms:5.2f}  failed {flooded.failed}"
        f"  cpu {quiet.gateway_cpu:.2f} -> {flooded.gateway_cpu:.2f} -> {after.gateway_cpu:.2f}"
        f"  rss {quiet.rss_mib} -> {flooded.rss_mib} -> {after.rss_mib}  files {flooded.files} -> {after.files}"
        f"  attacker cpu {result.attacker_cpu:.2f} {result.done}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.floods", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("floods", nargs="*", default=list(FLOODS), help=", ".join(FLOODS))
    parser.add_argument("--seconds", type=float, default=10.0, help="of each stretch")
    parser.add_argument("--output", type=Path, default=RESULT)
    given = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as home:
        results = asyncio.run(run(given.floods, given.seconds, Path(home)))
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "load_before": round(load, 2),
        "load_after": round(os.getloadavg()[0], 2),
        "seconds": given.seconds,
        "floods": [asdict(each) | {"p99_ratio": round(each.ratio, 2)} for each in results],
    }
    given.output.write_text(json.dumps(document, indent=1) + "\n")
    print(f"floods: {len(results)}, worst p99 ratio {max(each.ratio for each in results):.2f}")


if __name__ == "__main__":
    main()
