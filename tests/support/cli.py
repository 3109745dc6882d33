"""Runs the real `mesh` command: in a thread of the test's process, which saves its start, with its own streams."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.cli.main import app


@dataclass(frozen=True)
class CliResult:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


async def mesh(*arguments: str | Path, directory: Path | None = None, stdin: bytes = b"") -> CliResult:
    """What `mesh --dir DIRECTORY ARGUMENTS` does with `stdin`. One at a time: the streams are the process's."""
    place = ["--dir", str(directory)] if directory else []
    return await asyncio.to_thread(run, [*place, *map(str, arguments)], stdin)


def run(arguments: list[str], stdin: bytes = b"") -> CliResult:
    """What `mesh ARGUMENTS` does; see `mesh`."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    kept = sys.stdin
    with tempfile.TemporaryFile("w+") as given, redirect_stdout(out), redirect_stderr(err):
        given.buffer.write(stdin)
        given.seek(0)
        sys.stdin = given
        try:
            app(arguments)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        else:
            code = 0
        finally:
            sys.stdin = kept
    out.flush()
    written = out.buffer
    assert isinstance(written, io.BytesIO)
    return CliResult(code, written.getvalue().decode(), err.getvalue())
