"""The reference names every command, option, error and metric, and nothing that is not there."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import typer

from gateway.cli import reference
from gateway.cli.main import app
from gateway.metrics import Metrics

PAGES = Path(__file__).parent.parent / "docs" / "reference"


def text_of(name: str) -> str:
    return (PAGES / name).read_text(encoding="utf-8")


def test_every_command_and_option_is_documented() -> None:
    page = text_of("cli.md")
    for path, command in reference.commands(typer.main.get_command(app), "mesh"):
        _, heading, rest = page.partition(f"\n## {path}\n")
        section = rest.partition("\n## ")[0]
        assert heading, f"docs/reference/cli.md lacks {path}"
        assert command.help, f"{path} has no help"
        for parameter in command.params:
            assert parameter.help, f"{path}: {parameter.name} has no help"
            if parameter.param_type_name == "option":
                assert f"`{parameter.opts[0]}" in section, f"docs/reference/cli.md lacks {path} {parameter.opts[0]}"


def test_every_error_is_documented_with_its_code() -> None:
    page = text_of("errors.md")
    missing = [error.__name__ for error in reference.project_errors() if f"| `{error.code}` |" not in page]

    assert not missing, "run: python -m gateway.cli.reference"


def test_a_code_belongs_to_one_error() -> None:
    codes = Counter(error.code for error in reference.project_errors())

    assert [code for code, count in codes.items() if count > 1] == []


def test_every_error_has_a_sentence_and_says_who_must_act() -> None:
    for error in reference.project_errors():
        assert error.sentence, error
        assert not error.sentence.endswith("."), error
        assert error.actor in reference.ACTORS, error


def test_every_metric_is_documented() -> None:
    page = text_of("metrics.md")

    assert [name for name in Metrics().names() if f"`{name}`" not in page] == []


@pytest.mark.parametrize("name", sorted(reference.PAGES))
def test_the_committed_page_is_the_generated_one(name: str) -> None:
    assert text_of(name) == reference.PAGES[name](), "run: python -m gateway.cli.reference"
