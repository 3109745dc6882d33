"""A partner writes: "the record at offset 1234 of partition 0 is wrong". Find our copy of it, and show it.

The offset map has exactly one answer for every offset: the copy, or why there is none and where the next record is.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mesh.sdk import Record, Translation
from mesh.sdk.sync import Client


def find(
    client: Client, subscription: str, topic: str, partition: int, offset: int
) -> tuple[Translation, Record | None]:
    """The answer for the partner's `offset`, and our copy where there is one."""
    answer = client.translate(subscription, topic, partition, source_offset=offset)
    if answer.kind != "exact" or answer.destination_offset is None:
        return answer, None
    (known,) = [each for each in client.subscriptions() if each.name == subscription]
    place = {partition: answer.destination_offset}
    with client.read(known.topics[topic], partitions=[partition], positions=place, max_records=1) as reader:
        return answer, next(reader)


def told(answer: Translation, record: Record | None) -> str:
    if record is not None:
        key, value = (record.key or b"").decode(errors="replace"), (record.value or b"").decode(errors="replace")
        return f"our copy is {record.topic}[{record.partition}] at {record.offset}: {key} {value}"
    if answer.kind == "gap":
        return f"it has no copy ({answer.reason}); the next record is at {answer.destination_offset}"
    if answer.kind == "before":
        return "it has no copy: our subscription began after it"
    return "it has no copy yet: it is not mirrored so far"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subscription")
    parser.add_argument("topic", help="the partner's name of it")
    parser.add_argument("partition", type=int)
    parser.add_argument("offset", type=int, help="the partner's")
    given = parser.parse_args(arguments)
    with Client() as client:
        print(told(*find(client, given.subscription, given.topic, given.partition, given.offset)))


if __name__ == "__main__":
    main()
