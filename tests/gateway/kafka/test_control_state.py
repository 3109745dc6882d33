from __future__ import annotations

import pytest

from gateway.kafka.control_state import the_one
from gateway.kafka.errors import StateSplit
from gateway.kafka.state_partition import StatePartition
from mesh.ids import Partition, TopicId


def test_a_state_topic_that_somebody_made_with_several_partitions_is_refused_by_name() -> None:
    parts = [StatePartition(Partition("_mesh.control", number), TopicId("0" * 32)) for number in range(3)]
    assert the_one(parts[:1]) is parts[0]
    with pytest.raises(StateSplit, match=r"_mesh\.control has 3 partitions"):
        the_one(parts)
