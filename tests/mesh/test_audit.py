"""The chain of audit entries: whatever is done to it is found, and the first bad index named."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.audit import NO_HASH, AuditBroken, AuditEntry, SignedHead, check_head, entry_hash, head_digest, verify
from tests.support.trust import NOW, organization

ACME = organization("acme.example")
TIME_MS = int(NOW.timestamp() * 1000) + 1000
COUNT = 12


def signed(count: int, last_hash: bytes, time_ms: int = TIME_MS, org: str = "acme.example") -> SignedHead:
    identity = organization(org).identity()
    signature = identity.sign(head_digest(count, last_hash, time_ms, str(identity.id)))
    return SignedHead(count, last_hash, time_ms, str(identity.id), identity.chain_der[0], signature)


def holds(head: SignedHead) -> None:
    check_head(head, ACME.bundle)


@cache
def chain() -> tuple[tuple[bytes, ...], SignedHead]:
    """Entries with a head in their middle, and a head that was kept elsewhere."""
    lines: list[bytes] = []
    previous = NO_HASH
    for index in range(COUNT):
        entry = AuditEntry(index, TIME_MS + index, "operator", "grant.created", f"g{index}", "done", {"n": str(index)})
        entry = signed(index, previous, TIME_MS).entry() if index == 6 else replace(entry, previous=previous)
        lines.append(entry.to_bytes())
        previous = entry_hash(lines[-1])
    return tuple(lines), signed(COUNT, previous)


def broken_at(lines: list[bytes]) -> int:
    with pytest.raises(AuditBroken) as broken:
        verify(lines, [chain()[1]], holds)
    return broken.value.index


def test_an_untouched_log_verifies() -> None:
    lines, head = chain()
    assert verify(lines, [head], holds) == (COUNT, COUNT, 2, head)
    assert verify(lines, [], holds)[:3] == (COUNT, 6, 1)
    assert verify([], [], holds) == (0, 0, 0, None)


def test_a_head_of_a_retired_ca_is_vouched_for_by_a_newer_one() -> None:
    lines, _ = chain()
    retired = signed(6, entry_hash(lines[5]), org="globex.example").entry().to_bytes()
    anew = [*lines[:6], retired]
    newest = signed(7, entry_hash(retired))
    assert verify(anew, [newest], holds) == (7, 7, 1, newest)
    with pytest.raises(AuditBroken, match="does not hold"):
        verify(anew, [], holds)


@given(index=st.integers(0, COUNT - 1), data=st.data())
@settings(max_examples=60, deadline=None)
def test_an_altered_entry_is_named(index: int, data: st.DataObject) -> None:
    lines, _ = chain()
    entry = AuditEntry.from_bytes(lines[index])
    changed: dict[str, Any] = data.draw(
        st.sampled_from(
            [
                {"time_ms": entry.time_ms + 1},
                {"actor": "peer:globex.example"},
                {"action": "grant.revoked"},
                {"object": "other"},
                {"outcome": "failed"},
                {"details": {}},
                {"previous": b"\x01" * 32},
            ]
        )
    )
    assert broken_at([*lines[:index], replace(entry, **changed).to_bytes(), *lines[index + 1 :]]) == index


@given(index=st.integers(0, COUNT - 1), at=st.integers(0, 10_000), bit=st.integers(0, 7))
@settings(max_examples=100, deadline=None)
def test_a_flipped_bit_is_found_at_its_entry(index: int, at: int, bit: int) -> None:
    lines = list(chain()[0])
    data = bytearray(lines[index])
    data[at % len(data)] ^= 1 << bit
    lines[index] = bytes(data)
    assert broken_at(lines) == index


@given(first=st.integers(0, COUNT - 1), length=st.integers(1, COUNT))
@settings(max_examples=40, deadline=None)
def test_dropped_entries_are_found_in_the_middle_and_at_the_end(first: int, length: int) -> None:
    lines = list(chain()[0])
    del lines[first : first + length]
    assert broken_at(lines) == first


@given(st.permutations(range(COUNT)))
@settings(max_examples=40, deadline=None)
def test_reordered_entries_are_found(order: list[int]) -> None:
    lines = chain()[0]
    if order != sorted(order):
        assert broken_at([lines[at] for at in order]) == next(at for at in range(COUNT) if order[at] != at)


def test_a_repeated_entry_is_found() -> None:
    lines = list(chain()[0])
    assert broken_at([*lines[:4], lines[3], *lines[4:]]) == 4


def test_a_log_written_anew_does_not_fit_a_head_that_was_kept() -> None:
    lines = [line.replace(b"grant.created", b"grant.deleted") for line in chain()[0][:6]]
    previous, anew = NO_HASH, []
    for line in lines:
        anew.append(replace(AuditEntry.from_bytes(line), previous=previous).to_bytes())
        previous = entry_hash(anew[-1])
    with pytest.raises(AuditBroken) as broken:
        verify(anew, [signed(6, entry_hash(chain()[0][5]))], holds)
    assert broken.value.index == 5


@pytest.mark.parametrize(
    "head",
    [
        replace(chain()[1], time_ms=TIME_MS + 1),
        replace(chain()[1], signer="spiffe://acme.example/gateway/two"),
        signed(COUNT, chain()[1].hash, org="globex.example"),
        signed(COUNT, chain()[1].hash, time_ms=TIME_MS + int(timedelta(days=900).total_seconds()) * 1000),
    ],
    ids=["another time", "another signer", "another organization", "after the certificate's end"],
)
def test_a_head_must_be_signed_by_a_gateway_of_the_organization(head: SignedHead) -> None:
    with pytest.raises(AuditBroken, match="signed head does not hold"):
        verify(chain()[0], [head], holds)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b"[" * 100_000,
        chain()[0][0] + b" ",
        chain()[0][0].replace(b'"format":1', b'"format":2'),
        chain()[0][0].replace(b'"time_ms":', b'"time_ms":1000'),
    ],
    ids=["empty", "list", "nothing in it", "null", "brackets", "a space more", "another format", "no date"],
)
def test_what_is_no_entry_is_refused(line: bytes) -> None:
    assert broken_at([line, *chain()[0][1:]]) == 0


@given(
    st.builds(
        AuditEntry,
        st.integers(0, 99),
        st.integers(0, 253_402_300_799_999),
        *[st.text()] * 4,
        st.dictionaries(st.text(), st.text(), max_size=3),
    )
)
@settings(max_examples=50)
def test_an_entry_survives_its_canonical_form(entry: AuditEntry) -> None:
    assert AuditEntry.from_bytes(entry.to_bytes()) == entry


def test_a_broken_log_says_where() -> None:
    assert str(AuditBroken(7, "it is gone")) == "the audit log is broken at entry 7: it is gone"


def test_the_documented_example_is_true() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "audit.md").read_text(encoding="utf-8")
    line = page.partition("```json\n")[2].partition("\n")[0].encode()
    shown = page.partition("```text\n")[2].partition("\n")[0]
    assert AuditEntry.from_bytes(line).to_bytes() == line
    assert entry_hash(line).hex() == shown
