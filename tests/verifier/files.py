"""The files of a run directory, read line by line; what cannot be read is named by file and line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Unreadable(Exception):
    """The run directory does not say what it should: nothing can be judged."""

    file: str
    why: str

    def __str__(self) -> str:
        return f"{self.file}: {self.why}"


def lines_of(path: Path) -> Iterator[tuple[int, Any]]:
    """The values of a file of JSON lines with their numbers. Raises Unreadable."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield number, json.loads(line)
            except ValueError as error:
                raise Unreadable(f"{path.name}:{number}", f"not JSON ({error})") from None


def rows(path: Path, fields: dict[str, object]) -> list[list[Any]] | None:
    """The named fields of each line, None where there is no such file. A default of `...` means: must be there."""
    if not path.exists():
        return None
    found = []
    for number, line in lines_of(path):
        try:
            found.append(
                [line[name] if default is ... else line.get(name, default) for name, default in fields.items()]
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise Unreadable(f"{path.name}:{number}", f"the field {error} is missing") from None
    return found


def one(path: Path) -> dict[str, Any]:
    """A file that is one JSON object. Raises Unreadable."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Unreadable(path.name, str(error)) from None
    if not isinstance(found, dict):
        raise Unreadable(path.name, "not an object")
    return found


def inside(directory: Path, name: str) -> Path:
    """A file that the run directory names. Raises Unreadable where it lies elsewhere or is not there."""
    path = (directory / name).resolve()
    if not path.is_relative_to(directory.resolve()) or not path.is_file():
        raise Unreadable(name, "is not a file of the run directory")
    return path
