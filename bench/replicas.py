"""How long lanes stand still when a gateway of several is killed, stopped for longer than its session, or leaves.

    python -m bench.replicas --faults 24

Two organizations on a broker each; the subscriber has three gateways. Records flow all the time. After each fault the
time is taken until each lane's copy holds a record that was written after it. A fault moves only some of the lanes, so
the figures of those stand apart from the others'.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.support.brokers import Broker, BrokerConfig
from tests.support.flow import Ends, Flow, figures, progress
from tests.support.organization import Organization, stop_all, wait_for
from tests.support.stock import Load, create_topics, read_with_confluent

TOPIC = "departures"
SESSION_S = 6.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=24, help="how many in all, of three kinds in turn")
    parser.add_argument("--partitions", type=int, default=24)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mesh-replicas-") as home:
        theirs, ours = Broker.start(BrokerConfig()), Broker.start(BrokerConfig())
        try:
            measure(Path(home), theirs, ours, options.partitions, options.faults)
        finally:
            theirs.stop()
            ours.stop()


def measure(home: Path, theirs: Broker, ours: Broker, partitions: int, faults: int) -> None:
    create_topics(theirs.address, [Load(TOPIC, partitions, "none", 0, (), 0)])
    acme = Organization.init(home / "acme", "acme.example", "--kafka", theirs.address)
    first = Organization.init(home / "globex", "globex.example", "--kafka", ours.address)
    gateways = {"gw-1": first} | {name: first.joined(home / name, name) for name in ("gw-2", "gw-3")}
    with stop_all(acme, *gateways.values()):
        acme.start()
        first.start()
        acme.pair(first)
        acme.share("flights", first, TOPIC)
        first.mesh("subscribe", "acme.example/flights", "--topic", f"{TOPIC}={TOPIC}")
        for gateway in (gateways["gw-2"], gateways["gw-3"]):
            gateway.start()
        with Flow(theirs.address, TOPIC, partitions) as flow:
            source, copy = Ends(theirs.address, TOPIC, partitions), Ends(ours.address, TOPIC, partitions)
            times = strike_all(gateways, source, copy, faults)
            flow.stop()
            wait_for("everything to arrive", lambda: copy.look() == list(flow.counts.values()))
        source.close()
        copy.close()
        assert read_with_confluent(ours.address, flow.counts) == flow.written, "the copy is not exact"
    report(times, sum(flow.counts.values()), partitions)


Times = dict[str, list[tuple[float, bool]]]
"""By kind of fault: of each lane how long it took, and whether it moved."""


def strike_all(gateways: Mapping[str, Organization], source: Ends, copy: Ends, faults: int) -> Times:
    kinds = {"kill": Organization.kill, "stop for longer than a session": freeze, "leave": Organization.stop}
    times: Times = {kind: [] for kind in kinds}
    for fault in range(faults):
        wait_for("the lanes to be shared by all", lambda: set(owners(gateways["gw-1"]).values()) == set(gateways))
        progress(source, copy)
        name = f"gw-{fault % len(gateways) + 1}"
        victim = gateways[name]
        before = owners(gateways["gw-1"])
        kind = list(kinds)[fault // len(gateways) % len(kinds)]
        struck = time.monotonic()
        strike: Callable[[Organization], object] = kinds[kind]
        strike(victim)
        took_s = time.monotonic() - struck
        found = [took_s + each for each in progress(source, copy)]
        times[kind] += [(each, before[number] == name) for number, each in enumerate(found)]
        print(f"{fault + 1}/{faults} {kind} {name}: {figures(found)}", flush=True)
        if victim.process is None:
            victim.start()
        else:
            time.sleep(max(0.0, struck + SESSION_S + 1 - time.monotonic()))
            victim.thaw()
    return times


def freeze(gateway: Organization) -> None:
    gateway.freeze()


def owners(gateway: Organization) -> dict[int, str]:
    """By partition."""
    return {lane["partition"]: lane["gateway"] for lane in gateway.lanes()}


def report(times: Times, records: int, partitions: int) -> None:
    print(f"\n{records} records, {partitions} lanes; nothing lost, nothing twice, every offset as at the source")
    print("time from a fault until a lane goes on, of the lanes that moved:")
    every: list[float] = []
    for kind, found in times.items():
        moved = [took for took, has_moved in found if has_moved]
        every += moved
        if moved:
            print(f"  {kind}: {figures(moved)} ({len(moved)} lanes)")
    print(f"  all: {figures(every)} ({len(every)} lanes)")
    stayed = [took for found in times.values() for took, has_moved in found if not has_moved]
    print(f"of the lanes that stayed where they were: {figures(stayed)} ({len(stayed)} lanes)")


if __name__ == "__main__":
    main()
