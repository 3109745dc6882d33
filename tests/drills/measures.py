"""What is measured on the running stream: silence after a revocation, lateness while certificates change, exactness.

Every measure runs in a thread of its own, for the stream's clock shall not wait for the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from tests.drills.attack import Measure
from tests.drills.stage import SHARE
from tests.drills.stream import EVERY_S, Stream, client
from tests.support.figures import percentile
from tests.support.organization import Organization

BOUND_S = 1.0
"""Of all that is promised: silence after a revocation, and how late a record may be while certificates change."""
WATCH_S = 1.2
"""Longer than the bound, so that what misses it is seen."""
RESUME_S = 30.0
AFTER_S = 2.0
"""How long lateness is watched after a rotation: links made anew by it come within."""
SWITCH_S = 60.0


def revocations(acme: Organization, globex: Organization, stream: Stream, runs: int) -> list[Measure]:
    """A grant is revoked and given back, and the source goes on."""
    admin = client(acme)
    grant = {"share": SHARE, "peer": globex.org}
    return _cuts(
        "grant revoked",
        stream,
        runs,
        lambda: admin.post(f"/v1/grants/{SHARE}/{globex.org}/revoke"),
        lambda: admin.post("/v1/grants", grant),
    )


def suspensions(acme: Organization, globex: Organization, stream: Stream, runs: int) -> list[Measure]:
    """A peer is suspended and resumed, and the source goes on."""
    admin, path = client(acme), f"/v1/peers/{globex.org}"
    return _cuts(
        "peer suspended", stream, runs, lambda: admin.post(f"{path}/suspend"), lambda: admin.post(f"{path}/resume")
    )


def _cuts(
    what: str, stream: Stream, runs: int, cut: Callable[[], object], restore: Callable[[], object]
) -> list[Measure]:
    ordered, answered = zip(*(_cut(stream, cut, restore) for _ in range(runs)), strict=True)
    p99 = percentile(ordered, 0.99)
    figures = f"after the answer p99 {_ms(percentile(answered, 0.99))}; after the order p50 {_ms(median(ordered))}, "
    figures += f"p99 {_ms(p99)}, max {_ms(max(ordered))}; {runs} runs"
    return [Measure(f"{what} to last record at the destination", figures, "p99 < 1 s", p99 < BOUND_S)]


def _cut(stream: Stream, cut: Callable[[], object], restore: Callable[[], object]) -> tuple[float, float]:
    """How long records still arrived, after the order and after its answer."""
    stream.wait_flowing(RESUME_S)
    ordered_s, written = time.monotonic(), len(stream.written_s)
    cut()
    answered_s = time.monotonic()
    after_answer_s = stream.silence_s(answered_s, WATCH_S)
    after_order_s = stream.silence_s(ordered_s, WATCH_S)
    restore()
    if len(stream.written_s) - written < WATCH_S / EVERY_S / 4:
        raise RuntimeError("the source did not go on: nothing is shown by silence")
    return after_order_s, after_answer_s


def served(acme: Organization, globex: Organization, stream: Stream, runs: int) -> list[Measure]:
    """The gateway's own drill: from the order until the exporter reads nothing any more."""
    stream.wait_flowing(RESUME_S)
    events = client(acme).stream("POST", "/v1/drills/revoke", [{"grant": f"{SHARE}@{globex.org}", "runs": runs}])
    found: dict[str, Any] = next(event for event in events if event["event"] == "result")
    p50, p99, most = (found["stop_ms"][name] / 1000 for name in ("p50", "p99", "max"))
    figures = f"p50 {_ms(p50)}, p99 {_ms(p99)}, max {_ms(most)} over {runs} runs"
    return [Measure("grant revoked to nothing served (mesh drill revoke)", figures, "p99 < 1 s", p99 < BOUND_S)]


def leaf_rotations(stream: Stream, runs: int, *sides: Organization) -> list[Measure]:
    """`mesh certs rotate-leaf` at each side in turn."""

    def rotate() -> None:
        for _ in range(runs):
            for side in sides:
                client(side).post("/v1/certificates/rotate-leaf")
                time.sleep(AFTER_S)

    return [_lateness(f"leaf rotated {runs * len(sides)} times: records late", stream, rotate)]


def ca_rotations(stream: Stream, *sides: Organization) -> list[Measure]:
    """`mesh certs rotate-ca` at each side, until it issues from the new CA."""

    def rotate() -> None:
        for side in sides:
            admin = client(side)
            rotation = admin.post("/v1/certificates/rotation", {})["rotation"]
            deadline_s = time.monotonic() + SWITCH_S
            while rotation["phase"] != "switched":
                if time.monotonic() > deadline_s:
                    raise TimeoutError(f"the rotation at {side.org} is {rotation['phase']} after {SWITCH_S:g} s")
                time.sleep(0.05)
                rotation = admin.get("/v1/certificates")["rotation"]
            time.sleep(AFTER_S)

    return [_lateness(f"CA rotated at {len(sides)} sides: records late", stream, rotate)]


def untouched(stream: Stream, since: int) -> Measure:
    """What was copied since so many records had arrived, while others attacked."""
    return _judged("under attack: records late", stream.late_s(since))


def _lateness(name: str, stream: Stream, act: Callable[[], None]) -> Measure:
    stream.wait_flowing(RESUME_S)
    since = len(stream.arrived)
    act()
    stream.wait_flowing(RESUME_S)
    return _judged(name, stream.late_s(since))


def _judged(name: str, times: Sequence[float]) -> Measure:
    late = sum(time_s > BOUND_S for time_s in times)
    figures = f"{late} of {len(times)}; p50 {_ms(median(times))}, max {_ms(max(times))}" if times else "none arrived"
    return Measure(name, figures, "0 later than 1 s", bool(times) and not late)


def verified(globex: Organization) -> list[Measure]:
    """`mesh verify` of the stream, which has ended."""
    said = globex.try_mesh("verify", SHARE)
    closing = said.out.strip().rpartition("\n")[2] or said.err.strip()
    return [Measure("mesh verify", closing.removeprefix("verified: "), "all 0", said.code == 0)]


def audited(*sides: Organization) -> list[Measure]:
    """`mesh audit verify` at each side, whose signing certificates have changed meanwhile."""
    said = [side.try_mesh("audit", "verify") for side in sides]
    figures = "; ".join((each.out or each.err).strip().splitlines()[0].removeprefix("verified: ") for each in said)
    return [Measure("mesh audit verify, both sides", figures, "whole", not any(each.code for each in said))]


async def carried_out(measure: Callable[..., list[Measure]], *arguments: Any) -> list[Measure]:
    """In a thread; what breaks is a measure that missed its bound."""
    try:
        return await asyncio.to_thread(measure, *arguments)
    except Exception as error:
        return [Measure(measure.__name__.replace("_", " "), f"not measured: {error!r:.300}", "", False)]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
