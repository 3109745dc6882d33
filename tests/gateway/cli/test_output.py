"""Colours appear on a terminal only, and nowhere where somebody asked for none."""

from __future__ import annotations

import io
import re
import sys

import pytest

from gateway.cli import output

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9]")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def said(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, **environ: str) -> str:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    output.table([{"state": "stopped"}], ["state"])
    output.fail("no", "do", "code")
    return stream.getvalue()


def test_a_terminal_gets_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    assert COLOUR.search(said(monkeypatch, Terminal()))


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_none_where_the_environment_says_so(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> None:
    assert not COLOUR.search(said(monkeypatch, Terminal(), **environ))


def test_a_pipe_gets_text_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    text = said(monkeypatch, io.StringIO())

    assert "\x1b" not in text
    assert text.split() == ["state", "stopped", "error:", "no", "remedy:", "do", "code:", "code"]
