"""What floods of connections, streams, resets and headers do to an honest partner: `python -m bench.floods`.

One gateway, an honest partner that asks for its catalog a hundred times a second over its link, and a hostile one.
*Held* floods keep a stated number of things open and make anew, at a stated pace, what the gateway hangs up on: of
them it is asked that the honest partner's p99 stays within a factor of two. Floods of *churn* do what they do as fast
as they can, on the same machine: they are told for information.

Quiet and flooded stretches take turns; the ratio is that of the medians of their p99, its spread that of the turns.
After each stretch the honest partner makes new links, too: how many of them came to be, and how fast. All processes
have one priority; what others used of the machine meanwhile stands beside it.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from bench.cpu import TICKS_PER_S, cpu_s
from bench.flooding import FLOODS
from bench.versions import versions
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
EVERY_S = 0.01
FACTOR = 2.0
NEWCOMERS = 5
NEWCOMER_S = 3.0
SETTLE_S = 1.0
CALM_S = 10.0
"""After a flood its figures must be gone."""
PRIORITY = -5


@dataclass(frozen=True)
class Seen:
    """Of one stretch of time. Latencies in milliseconds, CPU as parts of a core."""

    calls: int
    failed: int
    p50_ms: float
    p99_ms: float
    gateway_cpu: float
    others_cpu: float
    """Of who has nothing to do with it."""
    rss_mib: int
    files: int
    newcomers: int
    """Of NEWCOMERS."""
    newcomer_ms: float | None


@dataclass
class Result:
    flood: str
    quiet: list[Seen]
    flooded: list[Seen]
    after: Seen
    attacker_cpu: float
    """Of one core."""
    done: list[dict[str, int]] = field(default_factory=list)
    """What the attacker counted, by turn."""

    @property
    def ratio(self) -> float:
        return middle(self.flooded, "p99_ms") / middle(self.quiet, "p99_ms")

    @property
    def ratios(self) -> list[float]:
        pairs = zip(self.quiet, self.flooded, strict=True)
        return sorted(flooded.p99_ms / quiet.p99_ms for quiet, flooded in pairs)

    @property
    def verdict(self) -> str:
        if FLOODS[self.flood].kind == "churn":
            return "for information"
        return "met" if self.ratio <= FACTOR and not any(each.failed for each in self.flooded) else "not met"


def middle(stretches: Sequence[Seen], what: str) -> float:
    return float(median(getattr(each, what) for each in stretches))


class Meter:
    """CPU of the gateway, and of processes that have nothing to do with us, since it was made."""

    def __init__(self, gateway: int, *ours: int) -> None:
        self._gateway, self._ours = gateway, (gateway, os.getpid(), *ours)
        self._began = time.monotonic(), cpu_s(gateway), self._others_s()

    def read(self) -> tuple[float, float]:
        at, gateway, others = self._began
        lasted = time.monotonic() - at
        return round((cpu_s(self._gateway) - gateway) / lasted, 2), round((self._others_s() - others) / lasted, 2)

    def _others_s(self) -> float:
        return machine_cpu_s() - sum(map(cpu_s, self._ours))


def machine_cpu_s() -> float:
    """All that was used, without waiting."""
    user, nice, system, _, _, *interrupts = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8])
    return (user + nice + system + sum(interrupts)) / TICKS_PER_S


def rss_mib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) // 1024


class Honest:
    """The partner whose latency counts."""

    def __init__(self, link: Speaker, door: Door, gateway: int) -> None:
        self._link, self._door = link, door
        self._gateway = gateway
        self._asked = 0

    async def ask(self) -> None:
        """Raises LinkLost, TimeoutError."""
        await self._link.say(Request(self._asked, catalog_pb2.CatalogRequest()))
        self._asked += 1
        while not isinstance(frame := await self._link.hear(), Reply):
            if frame is None:
                raise LinkLost("the gateway closed it")

    async def watch(self, for_s: float, *ours: int) -> Seen:
        took: list[float] = []
        failed = 0
        meter, until_s = Meter(self._gateway, *ours), time.monotonic() + for_s
        while (at := time.monotonic()) < until_s:
            try:
                await self.ask()
                took.append((time.monotonic() - at) * 1000)
            except (LinkLost, TimeoutError):
                failed += 1
            await asyncio.sleep(max(0.0, EVERY_S - (time.monotonic() - at)))
        cpu, others = meter.read()
        files = len(os.listdir(f"/proc/{self._gateway}/fd"))
        p50, p99 = (round(percentile(took, part), 2) if took else -1.0 for part in (0.5, 0.99))
        rss, joined = rss_mib(self._gateway), await self._join()
        how_long = round(median(joined), 1) if joined else None
        return Seen(len(took), failed, p50, p99, cpu, others, rss, files, len(joined), how_long)

    async def _join(self) -> list[float]:
        """How long new links took, in milliseconds, of those that came to be."""
        took: list[float] = []
        for _ in range(NEWCOMERS):
            at = time.monotonic()
            with suppress(LinkLost, TimeoutError):
                async with asyncio.timeout(NEWCOMER_S), speaking(self._door, self._link.identity) as another:
                    await another.meet()
                    took.append((time.monotonic() - at) * 1000)
        return took


@contextmanager
def attacking(flood: str, address: str, hostile: Organization, peer_file: Path) -> Iterator[subprocess.Popen[str]]:
    """The attacker's process, once it says that it has begun."""
    command = [sys.executable, "-m", "bench.flooding", flood, address, str(hostile.home), str(peer_file)]
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


@dataclass(frozen=True)
class Field:
    """Who meets whom."""

    honest: Honest
    gateway: Organization
    hostile: Organization
    file: Path

    async def measure(self, flood: str, turns: int, s: float) -> Result:
        quiet, flooded, cpu, done = [], [], [], []
        for _ in range(turns):
            quiet.append(await self.honest.watch(s))
            with attacking(flood, self.gateway.peers, self.hostile, self.file) as attacker:
                cpu_before, began = cpu_s(attacker.pid), time.monotonic()
                flooded.append(await self.honest.watch(s, attacker.pid))
                cpu.append((cpu_s(attacker.pid) - cpu_before) / (time.monotonic() - began))
                done.append(await asyncio.to_thread(ended, attacker))
            await asyncio.sleep(SETTLE_S)
        await asyncio.sleep(CALM_S - SETTLE_S)
        return Result(flood, quiet, flooded, await self.honest.watch(1.0), round(median(cpu), 2), done)


def ended(attacker: subprocess.Popen[str]) -> dict[str, int]:
    """What it has done."""
    assert attacker.stdin is not None
    assert attacker.stdout is not None
    with suppress(OSError):
        attacker.stdin.close()
    done: dict[str, int] = json.loads(attacker.stdout.readline() or "{}")
    return done


def identity_of(organization: Organization) -> Identity:
    keys = organization.home / "keys"
    return load_identity(keys / "gateway.pem", keys / "gateway.key")


async def run(floods: list[str], turns: int, seconds: float, home: Path) -> list[Result]:
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
        door = Door(gateway.peers, trust.bundle, list)
        assert gateway.process is not None
        results = []
        async with speaking(door, identity_of(honest)) as link:
            await link.meet()
            asking = Honest(link, door, gateway.process.pid)
            await asking.watch(1)
            field_of = Field(asking, gateway, hostile, file)
            for flood in floods:
                results.append(await field_of.measure(flood, turns, seconds))
                _print(results[-1])
        return results


def _print(result: Result) -> None:
    quiet, flooded, after, ratios = result.quiet, result.flooded, result.after, result.ratios
    came = sum(each.newcomers for each in flooded)
    print(
        f"{result.flood:16} {FLOODS[result.flood].kind:5} p99 {middle(quiet, 'p99_ms'):6.2f} ->"
        f" {middle(flooded, 'p99_ms'):6.2f} ms  x{result.ratio:5.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        f"  {result.verdict:15} p50 {middle(quiet, 'p50_ms'):.2f} -> {middle(flooded, 'p50_ms'):.2f}"
        f"  calls {sum(each.calls for each in flooded)} failed {sum(each.failed for each in flooded)}"
        f"  new links {came}/{NEWCOMERS * len(flooded)}"
        f"  cpu {middle(quiet, 'gateway_cpu'):.2f} -> {middle(flooded, 'gateway_cpu'):.2f} -> {after.gateway_cpu:.2f}"
        f"  rss {quiet[0].rss_mib} -> {max(each.rss_mib for each in flooded)} -> {after.rss_mib}"
        f"  files {flooded[-1].files} -> {after.files}  attacker cpu {result.attacker_cpu:.2f}"
        f"  others {middle(quiet, 'others_cpu'):.2f} {middle(flooded, 'others_cpu'):.2f}  {result.done[-1]}",
        flush=True,
    )


def summary(results: Sequence[Result]) -> list[str]:
    """The closing lines: for each held flood whether its bound is met, and what the churn came to."""
    told = [f"{each.flood}: x{each.ratio:.2f}, {each.verdict}" for each in results]
    held = [each for each in results if FLOODS[each.flood].kind == "held"]
    met = sum(each.verdict == "met" for each in held)
    return [*told, f"floods: {met} of {len(held)} held floods leave an honest peer's p99 within a factor of {FACTOR:g}"]


def keep(results: Sequence[Result], file: Path, run: dict[str, object]) -> None:
    """In `file`, beside what stands there of other floods; each with `run`, the run that it comes from."""
    kept = {each["flood"]: each for each in json.loads(file.read_text())["floods"]} if file.exists() else {}
    for each in results:
        kept[each.flood] = {
            "flood": each.flood,
            "kind": FLOODS[each.flood].kind,
            "what": FLOODS[each.flood].what,
            "p99_ratio": round(each.ratio, 2),
            "p99_ratios": [round(ratio, 2) for ratio in each.ratios],
            "verdict": each.verdict,
            **asdict(each),
            **run,
        }
    ordered = [kept[name] for name in FLOODS if name in kept]
    file.write_text(json.dumps({"floods": ordered}, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.floods", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("floods", nargs="*", default=list(FLOODS), help=", ".join(FLOODS))
    parser.add_argument("--turns", type=int, default=5, help="quiet and flooded, of each flood")
    parser.add_argument("--seconds", type=float, default=7.0, help="of each stretch")
    parser.add_argument("--output", type=Path, default=RESULT)
    given = parser.parse_args()
    if os.nice(0) == 0:  # nobody has given another
        with suppress(PermissionError):
            os.nice(PRIORITY)  # the gateway and the attackers inherit it
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as home:
        results = asyncio.run(run(given.floods, given.turns, given.seconds, Path(home)))
    run_of = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_before": round(load, 2),
        "load_after": round(os.getloadavg()[0], 2),
        "priority": os.nice(0),
        "turns": given.turns,
        "seconds": given.seconds,
        "versions": versions(),
    }
    keep(results, given.output, run_of)
    print("\n".join(summary(results)))


if __name__ == "__main__":
    main()
