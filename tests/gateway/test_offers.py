from __future__ import annotations

from gateway.offers import LARGEST, offered_settings, taken_settings


def test_a_copy_takes_any_timestamp_whatever_its_source_takes() -> None:
    """Records that lay in the source already would otherwise be refused by the destination's clock."""
    narrow = {"message.timestamp.before.max.ms": "3600000", "message.timestamp.after.max.ms": "3600000"}
    copied = taken_settings(offered_settings(narrow) | narrow)
    assert {copied[key] for key in narrow} == {LARGEST}
