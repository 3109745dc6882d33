"""The line of writers, against a leader's rules: whoever was not quickest is refused, a newer epoch ends the older."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from gateway.kafka import line as line_module
from gateway.kafka.line import Line, Place, encoded, placed
from mesh.batch.header import split
from mesh.cluster_errors import ProducerFenced, SequenceRefused
from mesh.ids import Partition, TopicId
from mesh.testing.memory_log import MemoryLog

TOPIC_ID = TopicId("0123456789abcdef" * 2)


@dataclass
class Gateway:
    """What one gateway knows of the log, as of its last look."""

    log: MemoryLog
    name: bytes
    line: Line = field(default_factory=lambda: Line.of(TOPIC_ID, 0))
    position: int = 0
    appends: int = 0

    def look(self) -> None:
        for header, _ in split(self.log.fetch(self.position, 1 << 30).data):
            if header.next_offset > self.position:
                self.line.saw(header)
                self.position = header.next_offset

    def append(self, place: Place, count: int) -> int | None:
        """The answered offset, None where it was refused."""
        self.appends += 1
        entries: list[tuple[str, bytes | None]] = [(f"{self.name!r} {self.appends} {at}", b"") for at in range(count)]
        try:
            return self.log.append(placed(encoded(self.name, 0, entries), place))
        except (SequenceRefused, ProducerFenced):
            return None


def fresh() -> MemoryLog:
    return MemoryLog(Partition("_mesh.control", 0), 0, 1 << 20)


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["look", "append", "claim"]), st.integers(1, 3))))
def test_an_append_on_an_old_view_is_refused_or_answered_with_another_ones_offset(
    steps: list[tuple[int, str, int]],
) -> None:
    log = fresh()
    gateways = [Gateway(log, b"%d" % number) for number in range(3)]
    for number, what, count in steps:
        gateway, end = gateways[number], log.end
        if what == "look":
            gateway.look()
            continue
        offset = gateway.append(gateway.line.next if what == "append" else gateway.line.newer, count)
        if log.end > end:
            assert (offset, log.end) == (end, end + count)
            if what == "append":
                assert gateway.position == end, "whoever landed had seen everything before"
            gateway.look()


@given(st.integers(1, 40))
def test_claims_go_on_for_ever_and_each_shuts_out_the_one_before(claims: int) -> None:
    log = fresh()
    kept, line_module.LAST_EPOCH = line_module.LAST_EPOCH, 3
    try:
        before: Place | None = None
        for number in range(claims):
            gateway = Gateway(log, b"%d" % number)
            gateway.look()
            while True:
                place = gateway.line.newer
                assert gateway.append(place, 1) is not None
                gateway.look()
                if not gateway.line.is_ending:
                    break
            if before is not None:
                assert gateway.append(before, 2) is None
            before = place._replace(sequence=1)
    finally:
        line_module.LAST_EPOCH = kept


def test_every_gateway_finds_the_same_line_and_no_broker_gives_out_its_id() -> None:
    assert Line.of(TOPIC_ID, 3) == Line.of(TOPIC_ID, 3)
    ids = {Line.of(TOPIC_ID, number).base_id for number in range(1000)}
    assert len(ids) == 1000
    assert all(1 << 62 <= each < 1 << 63 for each in ids)
