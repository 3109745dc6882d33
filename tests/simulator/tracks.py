"""A lane of a schedule: what its source was given, what its copy holds, and what befell it."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.ids import LaneId, OrgId, Partition, SubscriptionName, TopicName
from mesh.testing.cluster import FakeCluster
from tests.simulator.truth import SOURCE, Truth
from tests.simulator.verdict import Copy

DESTINATION = TopicName("acme.departures")
TO = Partition(DESTINATION, 0)
LANE = LaneId(SubscriptionName("flights"), SOURCE, 0)
PEER = OrgId("acme.example")


@dataclass(eq=False)
class Track:
    lane: LaneId
    to: Partition
    truth: Truth
    copy: Copy
    goes_on: bool
    """Whether it goes on after a loss."""
    start: int = 0
    """Where the subscription begins, 0: with what there is."""
    foreign: int = 0
    """Records that others wrote to the copy."""
    copy_lost: bool = False
    """Whether its copy was truncated or made anew: what was acknowledged may be gone, and the lane has to notice."""
    ended: str = ""
    """Why it stands still for good, as it must."""
    acknowledged: tuple[int, int, int] | None = None
    """What was acknowledged last; up to where history was the same then; of which incarnation."""

    @classmethod
    def make(
        cls, number: int, source: FakeCluster, destination: FakeCluster, violations: list[str], *, goes_on: bool
    ) -> Track:
        to = Partition(DESTINATION, number)
        truth = Truth(source, Partition(SOURCE, number))
        return cls(LANE._replace(partition=number), to, truth, Copy(destination, to, truth, violations), goes_on)
