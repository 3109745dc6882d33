"""The state topics: their names, what they are made like, and the partitions to read them by.

`gateway.kafka.control_state` and `gateway.kafka.lane_state` are the two kinds of state.
"""

from __future__ import annotations

import os

from gateway.kafka.client import Client
from gateway.kafka.errors import StateNotCompacted
from gateway.kafka.line import Appends
from gateway.kafka.state_partition import StatePartition
from gateway.kafka.state_topics import ensure_state_topic
from mesh.ids import Partition

CONTROL_TOPIC, CONTROL_PARTITIONS = "_mesh.control", 1
LANES_TOPIC, LANES_PARTITIONS = "_mesh.lanes", 32
CONFIG = {
    "cleanup.policy": "compact",
    "max.message.bytes": str(8 << 20),
    "segment.bytes": str(64 << 20),  # the active segment is never compacted: a large one would be read at every start
}


async def state_partitions(client: Client, topic: str, partitions: int) -> list[StatePartition]:
    """Those of `topic`, created where it is absent; nothing of them is read yet. Raises StateNotCompacted."""
    found, settings = await ensure_state_topic(client, topic, partitions, CONFIG)
    policy, _ = settings["cleanup.policy"]
    if policy != "compact":
        raise StateNotCompacted(topic, policy)
    return [StatePartition(Partition(topic, number), found.topic_id) for number in range(len(found.leaders))]


def new_appends() -> Appends:
    """Tokens that no other process makes."""
    return Appends(os.urandom(8).hex().encode())
