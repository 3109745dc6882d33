from __future__ import annotations

import pytest

from gateway.embedded.config import Retention, checked
from gateway.embedded.errors import TopicConfigRefused
from gateway.offers import offered_settings, taken_settings


def test_known_settings_are_kept_as_they_are() -> None:
    config = {"retention.ms": "-1", "retention.bytes": "1000", "max.message.bytes": "1", "cleanup.policy": "delete"}
    assert checked(config) == config


@pytest.mark.parametrize(
    ("key", "nearest"),
    [("retention.mss", "retention.ms"), ("max.message.byte", "max.message.bytes"), ("cleanup", "cleanup.policy")],
)
def test_an_unknown_setting_is_refused_naming_the_nearest(key: str, nearest: str) -> None:
    with pytest.raises(TopicConfigRefused) as refused:
        checked({key: "1"})
    assert str(refused.value) == (
        f"topic setting {key!r} is refused: it is not known; the nearest known setting is {nearest!r}"
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("retention.ms", "-2"),
        ("retention.ms", ""),
        ("retention.bytes", "1.5"),
        ("retention.bytes", "--1"),
        ("retention.bytes", "1-"),
        ("retention.bytes", "²"),
        ("max.message.bytes", "0"),
        ("max.message.bytes", str(2**63)),
        ("cleanup.policy", "compacted"),
        ("compression.type", "zip"),
        ("message.timestamp.type", "LogAppendTime"),
        ("message.timestamp.after.max.ms", "3600000"),
    ],
)
def test_a_value_that_cannot_be_kept_is_refused(key: str, value: str) -> None:
    with pytest.raises(TopicConfigRefused):
        checked({key: value})


def test_a_compacted_topic_is_kept_whole_whatever_its_retention() -> None:
    limits = {"retention.ms": "1000", "retention.bytes": "5"}
    assert Retention.of(checked(limits | {"cleanup.policy": "compact"})) == Retention(None, None)
    assert Retention.of(checked(limits | {"cleanup.policy": "compact,delete"})) == Retention(5, 1000)


def test_the_settings_of_a_copy_are_known_whatever_its_source_compresses_with() -> None:
    for codec in ("producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"):
        copied = taken_settings(offered_settings({"cleanup.policy": "compact", "compression.type": codec}))
        assert checked(copied) == copied


def test_no_limit_is_said_by_minus_one_or_by_nothing() -> None:
    assert Retention.of({}) == Retention.of({"retention.ms": "-1", "retention.bytes": "-1"}) == Retention(None, None)
    assert Retention.of({"retention.ms": "0", "retention.bytes": "5"}) == Retention(5, 0)
