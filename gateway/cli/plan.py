"""What `mesh subscribe --plan` prints: topics, how much, how long, what is made, what differs, what is refused."""

from __future__ import annotations

from typing import Any

from gateway.cli import output

COLUMNS = {
    "source": "source topic", "destination": "destination topic", "partitions": "parts", "offsets": "offsets",
    "size": "size", "how": "destination",
}  # fmt: skip
ANY_TIMESTAMP = {"message.timestamp.before.max.ms", "message.timestamp.after.max.ms"}
"""Set so on every copy."""
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def show(plan: dict[str, Any]) -> None:
    output.say(f"plan of {plan['peer']}/{plan['share']} as {plan['name']}, from {plan['start']}; nothing is made")
    empty = "the share offers nothing that this subscription asks for"
    output.table(
        [_row(topic) for topic in plan["topics"]], COLUMNS, right=("partitions", "offsets", "size"), empty=empty
    )
    for topic in plan["topics"]:
        for line in _lines(topic):
            output.say(line)
    output.say("")
    output.emit(_summary(plan), as_json=False)


def _row(topic: dict[str, Any]) -> dict[str, object]:
    row = {**topic, "destination": topic["destination"] or None}
    if topic["refused"]:
        return row | {"offsets": None, "size": None, "how": "refused"}
    existing = topic["existing"]
    how = "is created" if existing is None else "exists, empty" if existing["is_empty"] else "exists, holds records"
    return row | {"offsets": _count(topic["offsets"]), "size": size(topic["size_bytes"]), "how": how}


def _lines(topic: dict[str, Any]) -> list[str]:
    """What is to be said of one topic beside its row."""
    if topic["refused"]:
        refused = topic["refused"]
        return [f"refused: {topic['source']}: {refused['reason']} ({refused['code']})", f"  {refused['remedy']}"]
    lines = []
    if topic["create"]:
        lines.append(f"{topic['destination']} is created with {_settings(topic['create']['settings'])}")
    lines += [difference(topic["destination"], each) for each in topic["differences"]]
    if len(topic["origin"]) > 1:
        lines.append(f"{topic['source']} is a copy itself: {' > '.join(topic['origin'])}")
    return lines


def _settings(settings: dict[str, str]) -> str:
    """Every copy takes any timestamp: said in fewer words than the two settings for it."""
    said = [f"{key}={value}" for key, value in sorted(settings.items()) if key not in ANY_TIMESTAMP]
    return ", ".join([*said, "any timestamp"] if settings.keys() >= ANY_TIMESTAMP else said)


def difference(topic: str, each: dict[str, Any]) -> str:
    here, there = each["destination"] or "not set", each["source"] or "not set"
    return f"{topic}: {each['setting']} is {here} here, {there} for a copy of the source"


def _summary(plan: dict[str, Any]) -> dict[str, object]:
    total, fields = plan["total"], plan["fields"]
    mapped = [topic["source"] for topic in plan["topics"] if topic.get("destination_offsets") == "mapped"]
    odd = [f"{name} {how}" for name, how in fields.items() if how != "copied"]
    copied = ", ".join(name for name, how in fields.items() if how == "copied")
    offsets = "identical to the source's as long as it has no gaps"
    if mapped:
        offsets = f"mapped for {', '.join(mapped)}" + (
            "" if len(mapped) == total["topics"] else "; the others identical"
        )
    return {
        "total": ", ".join(
            [
                output.counted(total["topics"], "topic"),
                output.counted(total["partitions"], "partition"),
                f"{_count(total['offsets'])} offsets",
                size(total["size_bytes"]) if total["size_bytes"] is not None else "size unknown",
            ]
        ),
        "time": _time(total),
        "copied fields": "; ".join([copied, *odd]),
        "offsets": offsets if total["topics"] else None,
        "settings": "follow the source's" if plan["follow_config"] else "stay as they are made",
        "may be shared on": plan["onward"],
        "refused": plan["refused"],
    }


def _time(total: dict[str, Any]) -> str:
    rate = f"{total['rate_bytes_per_s'] / 1e6:g} MB/s"
    stated = "as stated" if total["rate_is"] == "stated" else "as measured with make bench; state yours with --rate"
    if total["seconds"] is None:
        return "unknown, as the provider does not say all sizes"
    return f"about {_duration(total['seconds'])} at {rate}, {stated}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _count(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"


def size(size_bytes: int | None) -> str:
    """Such as `1.2 MiB`."""
    if size_bytes is None:
        return "unknown"
    value, unit = float(size_bytes), 0
    while value >= 1024 and unit < len(UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {UNITS[unit]}" if unit else f"{size_bytes} B"
