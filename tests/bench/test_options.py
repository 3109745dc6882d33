"""The size asked for becomes whole batches of whole records."""

from __future__ import annotations

import os

from bench.cpu import cpu_by_thread, cpu_s, peak_rss_bytes
from bench.options import parse


def test_the_default_is_a_gigabyte_of_records_of_a_thousand_bytes() -> None:
    options = parse([], "")
    assert abs(options.records - 1_000_000) < 1000
    assert options.records == options.records_per_partition * 4
    assert options.records_per_batch == 252


def test_a_batch_smaller_than_a_record_holds_one() -> None:
    assert parse(["--batch-bytes", "1", "--record-bytes", "10000"], "").records_per_batch == 1


def test_cpu_and_memory_of_a_process_are_read() -> None:
    assert cpu_s(os.getpid()) > 0
    assert sum(cpu_by_thread(os.getpid()).values()) <= cpu_s(os.getpid()) + 0.02
    assert peak_rss_bytes(os.getpid()) > 1 << 20
