"""The table of verbs names the module of each, and a verb imports no other's."""

import pkgutil
import subprocess
import sys

import typer

import gateway.cli
from gateway.cli import reference
from gateway.cli.main import app
from gateway.cli.verbs import VERBS, Verbs

APART = {
    "client",
    "completing",
    "context",
    "local_page",
    "main",
    "objects_page",
    "output",
    "plan",
    "reference",
    "status_view",
    "verbs",
}
"""Modules of the package that have no commands."""


def test_every_module_with_commands_belongs_to_a_verb() -> None:
    modules = {module.name for module in pkgutil.iter_modules(gateway.cli.__path__)}
    assert {name for names in VERBS.values() for name in names} == modules - APART


def test_every_verb_is_a_command_of_its_modules_and_nothing_is_left_out() -> None:
    verbs = Verbs()
    assert {verb: verbs[verb].name for verb in verbs} == {verb: verb for verb in VERBS}
    registered = set(verbs._made)  # what the modules have beside the verbs that were asked for, too
    assert registered == set(VERBS)


def test_the_root_lists_all_verbs_and_knows_no_other() -> None:
    root = typer.main.get_group(app)
    assert list(root.commands) == list(VERBS)
    assert root.commands.get("statu") is None


def test_a_verb_imports_its_own_modules_only() -> None:
    program = (
        "import sys\nfrom gateway.cli.main import app\napp(['config', 'check', '--help'], standalone_mode=False)\n"
    )
    program += "print(*sorted(name for name in sys.modules if name.startswith('gateway.cli.')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    loaded = {name.removeprefix("gateway.cli.") for name in done.stdout.splitlines()[-1].split()}
    assert loaded == {"main", "verbs", "context", "client", "output", "config"}


WITHOUT_JSON = {
    "mesh demo": "a story for eyes",
    "mesh gateway run": "its ready line and its log are JSON already",
    "mesh await": "its output is that of the command",
    "mesh topic read": "its lines are JSON already",
}


def test_every_command_prints_json_where_it_is_asked_to() -> None:
    found = dict(reference.commands(typer.main.get_command(app), "mesh"))
    without = {path for path, command in found.items() if not any("--json" in each.opts for each in command.params)}

    assert without == set(WITHOUT_JSON)
