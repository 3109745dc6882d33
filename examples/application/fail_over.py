"""A consumer that may run at either of two partners: it reads by a named cursor and commits what it is done with.

A cursor is a consumer group of the cluster, so an operator moves it with `mesh groups translate --commit`: the
positions become those of the copies, and this program goes on at the other site with the record after the last one
that it committed here. Nothing in it knows of the other site.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from mesh.sdk import Record
from mesh.sdk.sync import Client

EVERY = 100
"""Records between commits: so many are processed again, at most, where it is killed."""


def records(client: Client, topic: str, cursor: str, most: int, *, until_end: bool) -> Iterator[Record]:
    """Each record once it is asked for the next one counts as processed."""
    with client.read(topic, cursor=cursor, max_records=most, until_end=until_end) as reader:
        for count, record in enumerate(reader, 1):
            yield record
            if count % EVERY == 0:
                reader.commit()
        reader.commit()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("topic")
    parser.add_argument("--cursor", required=True)
    parser.add_argument("--max", type=int, default=0, help="end after so many records")
    parser.add_argument("--until-end", action="store_true", help="end where the topic ends now")
    given = parser.parse_args(arguments)
    with Client() as client:
        for record in records(client, given.topic, given.cursor, given.max, until_end=given.until_end):
            print((record.value or b"").decode(errors="replace"), flush=True)


if __name__ == "__main__":
    main()
