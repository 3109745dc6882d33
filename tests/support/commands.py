"""Whether a `mesh` command line names a command and options that exist: for files that no test runs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import typer

from gateway.cli.main import app


def unknown_of(words: Sequence[str] | str) -> str:
    """What of the words behind `mesh` does not exist; empty where all does. Variables (`$X`) stand for themselves."""
    rest = shlex.split(words) if isinstance(words, str) else list(words)
    command: Any = typer.main.get_command(app)
    while True:
        options = {name: one for one in command.params for name in (*one.opts, *one.secondary_opts)}
        found, rest = _after_options(options, rest)
        if found:
            return found
        if not hasattr(command, "commands"):
            return ""
        if not rest or rest[0] not in command.commands:
            return f"{command.name} has no command {rest[:1]}"
        command, rest = command.commands[rest[0]], rest[1:]


def _after_options(options: dict[str, Any], words: list[str]) -> tuple[str, list[str]]:
    """What is unknown, and the words from the first argument on; options behind arguments are looked at, too."""
    arguments: list[str] = []
    while words:
        word, *words = words
        if word == "--":
            return "", [*arguments, *words]
        if not word.startswith("-") or word == "-":
            arguments.append(word)
            if not any(each.param_type_name == "argument" for each in options.values()):
                return "", [*arguments, *words]
            continue
        option = options.get(word.partition("=")[0])
        if option is None:
            return f"there is no option {word}", []
        if not option.is_flag and "=" not in word:
            if not words:
                return f"{word} lacks its value", []
            words = words[1:]
    return "", arguments
