"""Stock consumers move between two companies' clusters and back, and process each record exactly once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as AioPartition
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.support.brokers import Broker, BrokerConfig
from tests.support.organization import Organization, stop_all, wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(180)]

TOPIC, COPY, PARTITIONS, GROUP = "orders", "acme.orders", 2, "billing / v1"
MOVE = ("groups", "translate", GROUP, "--subscription", "orders")


@pytest.fixture
def brokers() -> Iterator[tuple[Broker, Broker]]:
    """Two clusters, the source's and the destination's."""
    with ThreadPoolExecutor(2) as pool:
        made = [pool.submit(Broker.start, BrokerConfig(heap_mb=256)) for _ in range(2)]
        source, destination = (each.result() for each in made)
    with source, destination:
        yield source, destination


class Orders:
    """A transactional producer that writes until it is stopped; every third transaction is aborted."""

    def __init__(self, address: str) -> None:
        self._producer = Producer({"bootstrap.servers": address, "transactional.id": uuid4().hex})
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self.committed: list[int] = []

    def __enter__(self) -> Orders:
        self._producer.init_transactions(30)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Returns when nothing more is written."""
        self._stopping.set()
        self._thread.join()

    def _write(self) -> None:
        number = 0
        while not self._stopping.wait(0.01):
            ids = [10 * number + at for at in range(5)]
            self._producer.begin_transaction()
            for each in ids:
                self._producer.produce(TOPIC, str(each).encode(), partition=(number + each) % PARTITIONS)
            if number % 3 == 2:
                self._producer.flush(30)  # else nothing of it would reach the log
                self._producer.abort_transaction(30)
            else:
                self._producer.commit_transaction(30)
                self.committed += ids
            number += 1


def consumer(address: str, group: str = GROUP, reset: str = "error") -> Consumer:
    settings = {"bootstrap.servers": address, "group.id": group, "auto.offset.reset": reset}
    return Consumer(settings | {"enable.auto.commit": False, "isolation.level": "read_committed"})


def process(address: str, topic: str, count: int, reset: str = "error") -> list[int]:
    """The ids of at least `count` records, read by librdkafka as a member of the group and committed by hand."""
    reader = consumer(address, reset=reset)
    ids: list[int] = []
    places: dict[int, int] = {}
    reader.subscribe([topic])
    deadline = time.monotonic() + 30
    try:
        while len(ids) < count or len(places) < PARTITIONS:
            assert time.monotonic() < deadline, f"{len(ids)} of {count} records came"
            for message in reader.consume(50, 0.5):
                assert message.error() is None, message.error()
                ids.append(int(message.value() or b""))
                places[message.partition() or 0] = (message.offset() or 0) + 1
        where = [TopicPartition(topic, number, offset) for number, offset in places.items()]
        reader.commit(offsets=where, asynchronous=False)
    finally:
        reader.close()
    return ids


def process_with_aiokafka(address: str, topic: str, count: int, busy: Any = None) -> list[int]:
    """The same by another implementation of the protocol; `busy` is called while it is a member."""

    async def run() -> list[int]:
        ids: list[int] = []
        places: dict[AioPartition, int] = {}
        reader = AIOKafkaConsumer(
            topic, bootstrap_servers=address, group_id=GROUP, enable_auto_commit=False,
            isolation_level="read_committed", auto_offset_reset="none",
        )  # fmt: skip
        await reader.start()
        try:
            async with asyncio.timeout(30):
                while len(ids) < count or len(places) < PARTITIONS:
                    for place, records in (await reader.getmany(timeout_ms=500, max_records=50)).items():
                        ids.extend(int(record.value) for record in records)
                        places[place] = records[-1].offset + 1
            await reader.commit(places)
            if busy is not None:
                await asyncio.to_thread(busy)
        finally:
            await reader.stop()
        return ids

    return asyncio.run(run())


def synced(globex: Organization) -> str:
    """How far the group is kept in step; empty before the first turn that found it."""
    return next((str(each["state"]) for each in globex.mesh("groups", "status", "--json").json), "")


def shown(globex: Organization, *words: str) -> list[tuple[str, int | None, int | None]]:
    move = globex.mesh(*words, "--json").json
    return [(each["answer"], each["source_position"], each["destination_position"]) for each in move["positions"]]


def test_a_group_moves_there_and_back_and_reads_each_record_once(
    brokers: tuple[Broker, Broker], tmp_path: Path
) -> None:
    # 1. globex mirrors a transactional topic of acme, and keeps a group in step
    source, destination = (broker.address for broker in brokers)
    acme = Organization.init(tmp_path / "acme", "acme.example", "--kafka", source)
    globex = Organization.init(tmp_path / "globex", "globex.example", "--kafka", destination)
    with stop_all(acme, globex):
        acme.start()
        globex.start("timing.groups_s=0.3")
        acme.mesh("topic", "create", TOPIC, "--partitions", str(PARTITIONS))
        acme.pair(globex)
        acme.mesh("share", "create", "orders", "--topic", TOPIC)
        acme.mesh("grant", "create", "orders", "--to", globex.org, "--groups", "write")
        globex.mesh("subscribe", "acme.example/orders", "--topic", f"{TOPIC}={COPY}", "--group", "billing*")
        with Orders(source) as orders:
            # 2. the application runs at acme; the group is not globex's to see before it has read something
            assert globex.refuses(*MOVE).code == "group-absent"
            processed = process(source, TOPIC, 150, reset="earliest")
            assert globex.mesh("groups", "list", "--peer", "acme.example", "--json").json[0]["group"] == GROUP

            # 3. a rehearsal shows that it would read the same records, and changes nothing
            wait_for("the group to be in step", lambda: synced(globex) == "in-step")
            rehearsed = globex.mesh("groups", "rehearse", GROUP, "--subscription", "orders", "--json").json
            assert rehearsed["result"]["equal"], rehearsed
            assert rehearsed["result"]["source_left"] == rehearsed["result"]["destination_left"] > 0

            # 4. failover: stopped there, moved, started here
            globex.mesh(*MOVE, "--commit", "--wait", "30")

            def refused_while_it_reads() -> None:
                assert globex.refuses(*MOVE, "--commit", "--backward", "--as", GROUP).code == "group-not-empty"
                wait_for("the group to be left alone", lambda: synced(globex) == "blocked")

            processed += process_with_aiokafka(destination, COPY, 150, refused_while_it_reads)

            # 5. it is ahead of the source now, and the way back there is only forward
            assert globex.refuses(*MOVE, "--commit").code == "position-would-go-back"
            wait_for("the group to be ahead here", lambda: synced(globex) == "ahead")

            # 6. failback, not while somebody reads at acme
            squatter = consumer(source)
            squatter.subscribe([TOPIC])
            wait_for("the squatter to join", lambda: squatter.poll(0.1) is not None)
            assert globex.refuses(*MOVE, "--reverse", "--commit").sentence.startswith("acme.example refused")
            squatter.close()
            globex.mesh(*MOVE, "--reverse", "--commit", "--wait", "30")
            processed += process(source, TOPIC, 100)

            # 7. what is not mirrored yet is waited for, or said
            globex.mesh("subscription", "pause", "orders")

            def is_beyond() -> bool:
                processed.extend(process(source, TOPIC, 100))
                return {answer for answer, _, _ in shown(globex, *MOVE)} == {"beyond"}

            wait_for("the group to pass the mirror", is_beyond)
            assert globex.refuses(*MOVE, "--commit").code == "positions-unanswered"
            globex.mesh("subscription", "resume", "orders")
            globex.mesh(*MOVE, "--commit", "--wait", "30")

            # 8. the rest is read here, to the end
            orders.stop()
            left = len(orders.committed) - len(processed)
            processed += process(destination, COPY, left)

        # 9. every record once, over all moves
        assert Counter(processed) == Counter(orders.committed)
        assert len(processed) > 500

        # 10. at the end: both groups stand at the ends, and nothing is left to read
        globex.mesh(*MOVE, "--reverse", "--commit")
        assert {answer for answer, _, _ in shown(globex, *MOVE)} <= {"end", "gap"}
        rehearsed = globex.mesh("groups", "rehearse", GROUP, "--subscription", "orders", "--json").json
        assert rehearsed["result"] == {"event": "result", "equal": True, "whole": True, "source_left": 0,
                                       "destination_left": 0, "unanswered": 0}  # fmt: skip

        # 11. in a gap (a marker ends the log), and where it never committed, a group goes on right, too
        (end,) = (each["source_position"] for each in rehearsed["positions"] if each["partition"] == 0)
        half = consumer(source, "billing-half")
        half.commit(offsets=[TopicPartition(TOPIC, 0, end - 1)], asynchronous=False)
        half.close()
        answers = shown(globex, "groups", "translate", "billing-half", "--subscription", "orders", "--commit")
        (copied,) = (each["destination_position"] for each in rehearsed["positions"] if each["partition"] == 0)
        assert answers == [("gap", end - 1, copied), ("never-committed", None, None)]

        # 12. what was done at acme for globex stands in acme's audit log
        entries = acme.mesh("audit", "list", "--action", "group.committed", "--json").out.splitlines()
        assert len(entries) == 2
        assert all('"peer:globex.example"' in entry for entry in entries)
