"""The `mesh` command: mounts the verbs and turns errors into three lines and an exit code.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 a plan would change something, 130 interrupted.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from gateway.cli import context, output
from gateway.cli.client import AdminError
from gateway.cli.verbs import Verbs
from mesh.errors import MeshError


class MeshGroup(TyperGroup):
    """The root group: a MeshError or AdminError of any command ends it with three lines and exit code 1."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = Verbs()  # type: ignore[assignment]  # nobody adds to the root

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except AdminError as error:
            output.fail(error.sentence, error.remedy, error.code)
        except MeshError as error:
            output.fail(str(error), error.remedy, error.code)
        except BrokenPipeError:
            raise typer.Exit(1) from None
        raise typer.Exit(1)


app = typer.Typer(
    name="mesh",
    cls=MeshGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Share event streams between organizations, exactly.",
)


def _version(wanted: bool) -> None:
    if wanted:
        output.say(f"mesh {metadata.version('stream-mesh')}")
        raise typer.Exit


@app.callback()
def root(
    config_file: Annotated[
        Path | None, typer.Option("--config", help="The gateway's configuration file.", show_default="./mesh.toml")
    ] = None,
    directory: Annotated[Path | None, typer.Option("--dir", help="The directory that holds mesh.toml.")] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    context.set_place(config_file, directory)


def main() -> None:
    app()


if __name__ == "__main__":
    main()
