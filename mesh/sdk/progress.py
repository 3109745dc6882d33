"""Where a reader stands, by partition: what came in, what the application was handed, what is committed. Pure.

A. A stream that is opened anew goes on behind what came in, so nothing is lost and nothing comes twice.
B. What is committed is what was handed out, the record in hand included: commit when you are done with it.
"""

from __future__ import annotations

from collections.abc import Mapping

from mesh.sdk.values import Batch, Record


class Progress:
    def __init__(self) -> None:
        self._came: dict[int, int] = {}
        self._handed: dict[int, int] = {}
        self._committed: dict[int, int] = {}
        self.records = 0
        """How many came in."""

    def __repr__(self) -> str:
        return f"<Progress handed {self._handed}, came {self._came}>"

    @property
    def has_begun(self) -> bool:
        return bool(self._came)

    @property
    def handed(self) -> Mapping[int, int]:
        """The offset that is handed out next."""
        return dict(self._handed)

    @property
    def came(self) -> Mapping[int, int]:
        """Where a new stream goes on."""
        return dict(self._came)

    def begun(self, positions: Mapping[int, int]) -> None:
        """A stream says where it begins; what is known already stays."""
        self._came = {**positions, **self._came}
        self._handed = {**positions, **self._handed}

    def received(self, batch: Batch) -> None:
        self._came[batch.partition] = batch.next_offset
        self.records += len(batch.records)

    def handed_record(self, record: Record) -> None:
        self._handed[record.partition] = record.offset + 1

    def handed_batch(self, batch: Batch) -> None:
        self._handed[batch.partition] = batch.next_offset

    def uncommitted(self) -> Mapping[int, int]:
        """Of each partition whose position moved since it was committed, or never was."""
        return {number: at for number, at in self._handed.items() if self._committed.get(number) != at}

    def committed(self, positions: Mapping[int, int]) -> None:
        self._committed.update(positions)
