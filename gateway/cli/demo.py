"""`mesh demo`: the whole of it on one machine, in a temporary directory."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import output


def register(root: typer.Typer) -> None:
    root.command()(demo)


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave both gateways running, and say what to type next.")
    ] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=10, metavar="N", help="Only the first N flights.")] = None,
) -> None:
    """Two companies share a stream on this machine: real flights, a killed gateway, every record compared."""
    # Here, so that no other command pays for it.
    from gateway.demo import story
    from gateway.demo.interrupts import Interrupts
    from gateway.demo.shell import Shell

    directory = Path(tempfile.mkdtemp(prefix="mesh-demo-"))
    interrupts = Interrupts()
    shell = Shell(directory, output.console(), interrupts)
    kept = False
    try:
        # Ended from outside, the demo cleans up as after Ctrl-C.
        interrupts.listen()
        ending = story.tell(shell, limit)
        kept = keep
        shell.say(f"\n{story.hints(directory, kept=keep)}")
        if keep:
            shell.say(f"  kill {' '.join(str(pid) for _, pid in shell.pids())}")
            shell.say(f"  rm -r {directory}")
        shell.say(ending.closing)
    except KeyboardInterrupt:
        output.note("interrupted: ending both gateways")
        raise typer.Exit(130) from None
    finally:
        if not kept:
            shell.close()
            shutil.rmtree(directory, ignore_errors=True)
    if not ending.verified:
        raise typer.Exit(1)
