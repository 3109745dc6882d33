"""Sending one batch of a line until the broker has said what became of it; what the answer means, the log tells."""

from __future__ import annotations

import asyncio

from gateway.kafka.client import Client
from gateway.kafka.destination import KafkaDestination
from gateway.kafka.line import Place, placed
from gateway.kafka.patience import pauses
from mesh.cluster_errors import ProducerFenced, SequenceRefused
from mesh.errors import NetworkError
from mesh.ids import Partition


async def place_batch(
    client: Client, destination: KafkaDestination, partition: Partition, batch: bytes, place: Place
) -> int | None:
    """The answered offset, None where this or an earlier try was refused. Asks for as long as nobody cancels it.

    Raises what cannot be helped by trying again, and the last NetworkError where the client is closed.
    """
    await destination.mend(partition)
    for pause_s in pauses():
        try:
            return await destination.append(partition, placed(batch, place))
        except (SequenceRefused, ProducerFenced):
            return None
        except NetworkError:
            if client.closed:
                raise
            await asyncio.sleep(pause_s)
    raise AssertionError("pauses never end")
