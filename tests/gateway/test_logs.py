"""Logs: one event is one line, and no secret is in it."""

from __future__ import annotations

import io
import json
import logging

import pytest
import structlog

from gateway import logs

pytestmark = pytest.mark.usefixtures("restored_logs")


@pytest.fixture(params=["json", "console"])
def stream(request: pytest.FixtureRequest) -> io.StringIO:
    out = io.StringIO()
    logs.configure("info", request.param, out)
    return out


HOSTILE = 'a\r\nb\x1b[31m\x00\x9b"}{\u2028'


def test_control_characters_stay_on_one_line(stream: io.StringIO) -> None:
    structlog.get_logger().info(HOSTILE, name=HOSTILE, nested={"list": [HOSTILE]})
    logging.getLogger("library").warning(HOSTILE)

    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


def test_json_lines_can_be_parsed() -> None:
    out = io.StringIO()
    logs.configure("info", "json", out)
    structlog.get_logger().info("lane stopped", lane="a/b/0", offset=7)
    logging.getLogger("library").warning("it said %s", "so")

    own, foreign = (json.loads(line) for line in out.getvalue().splitlines())

    assert own == own | {"event": "lane stopped", "lane": "a/b/0", "offset": 7, "level": "info"}
    assert foreign == foreign | {"event": "it said so", "level": "warning", "logger": "library"}


def test_secrets_are_never_shown(stream: io.StringIO) -> None:
    secret = logs.Secret("hunter2")
    structlog.get_logger().info(
        f"with {secret}", given=secret, inside=[secret], admin_token="hunter2", more={"sasl_password": "hunter2"}
    )

    assert "hunter2" not in stream.getvalue()
    assert secret.reveal() == "hunter2"
    assert "hunter2" not in repr(secret) + f"{secret}"


def test_long_fields_are_cut(stream: io.StringIO) -> None:
    structlog.get_logger().info("event", name="x" * 100_000)

    assert len(stream.getvalue()) < 3000
    assert "(100000 characters)" in stream.getvalue() or "\\u2026" in stream.getvalue()


def test_an_exception_keeps_its_traceback_in_one_line(stream: io.StringIO) -> None:
    with pytest.raises(RuntimeError) as caught:
        raise RuntimeError("broken\nhere")

    structlog.get_logger().error("failed", exc_info=caught.value)

    assert len(stream.getvalue().splitlines()) == 1
    assert "RuntimeError" in stream.getvalue()


def test_what_is_below_the_level_is_not_written(stream: io.StringIO) -> None:
    structlog.get_logger().debug("quiet")
    logging.getLogger("library").info("quiet")

    assert stream.getvalue() == ""
