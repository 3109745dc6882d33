"""The Dockerfile says what it should, and its lock file is a part of the whole one. No image is built here."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gateway.config_file import Listen
from tests.support.commands import unknown_of
from tests.support.dockerfile import Stage, is_left_out, read

ROOT = Path(__file__).parents[2]
LOCK = "requirements-image.lock"


@cache
def stages() -> tuple[Stage, Stage]:
    arguments, (build, final) = read((ROOT / "Dockerfile").read_text())
    assert {build.base, final.base} == {"${BASE}"}
    assert arguments["BASE"].startswith("python:3.11-slim")
    return build, final


@cache
def ignored() -> list[str]:
    return (ROOT / ".dockerignore").read_text().splitlines()


def locked(name: str) -> dict[str, tuple[str, str]]:
    """The packages of a lock file: version with hashes, and the marker."""
    found: dict[str, tuple[str, str]] = {}
    for block in re.split(r"\n(?=\S)", (ROOT / name).read_text().strip()):
        head, _, hashes = block.replace("\\\n", "").partition("--hash")
        requirement, _, marker = head.partition(";")
        package, _, version = requirement.strip().partition("==")
        assert hashes, f"{package} has no hash"
        found[canonicalize_name(package)] = (f"{version.strip()} {sorted(hashes.split())}", marker.strip())
    return found


def needed(names: list[str]) -> set[str]:
    """Those packages and all that they need here, as they are installed."""
    found: set[str] = set()
    waiting = [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for text in metadata.requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(canonicalize_name(requirement.name))
    return found


def test_dependencies_come_from_the_lock_with_hashes_and_nothing_else_is_fetched() -> None:
    build, final = stages()
    installs = [line for each in build.all("RUN") for line in each.rest.split("&&") if "pip install" in line]
    assert len(installs) == 2
    assert {"--require-hashes", "--only-binary", LOCK} <= set(installs[0].split())
    assert {"--no-deps", "--no-build-isolation"} <= set(installs[1].split())
    assert not any(re.search(r"\b(apt-get|curl|wget|pip install)\b", each.rest) for each in final.all("RUN"))


def test_the_final_stage_has_no_compiler_and_no_installer() -> None:
    build, final = stages()
    assert any("gcc" in each.rest for each in build.all("RUN"))
    assert not any("gcc" in each.rest for each in final.all("RUN"))
    assert "pip uninstall --yes setuptools pip" in build.all("RUN")[-1].rest
    assert "pip uninstall --yes setuptools wheel pip" in final.all("RUN")[0].rest
    assert [each.rest for each in final.all("COPY")] == ["--from=build /opt/mesh /opt/mesh"]


def test_it_runs_as_a_number_that_is_not_root_and_nothing_is_made_behind_that() -> None:
    _, final = stages()
    user = final.one("USER")
    assert re.fullmatch(r"[1-9]\d{4}:[1-9]\d{4}", user.rest)
    behind = final.instructions[final.instructions.index(user) :]
    assert not {each.name for each in behind} & {"RUN", "COPY"}


def test_it_writes_only_where_a_volume_is() -> None:
    _, final = stages()
    environment = final.environment()
    (place,) = final.one("VOLUME").words
    assert environment["MESH_CONFIG"].startswith(f"{place}/")
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"
    assert environment["HOME"] == "/tmp"
    assert environment["PATH"].startswith("/opt/mesh/bin:")


def test_what_it_runs_are_commands_that_exist() -> None:
    _, final = stages()
    assert final.one("ENTRYPOINT").words == ["mesh"]
    assert unknown_of(final.one("CMD").words) == ""
    options, _, command = final.one("HEALTHCHECK").rest.partition(" CMD ")
    first, *words = re.findall(r'"([^"]+)"', command)
    assert first == "mesh"
    assert unknown_of(words) == ""
    timeout_s = float(re.findall(r"--timeout=(\d+)s", options)[0])
    assert float(words[words.index("--timeout") + 1]) < timeout_s


def test_ports_are_those_that_others_may_reach() -> None:
    _, final = stages()
    given = {int(port) for port in final.one("EXPOSE").rest.split()}
    assert {int(address.rpartition(":")[2]) for address in (Listen().peers, Listen().enrolment)} <= given
    assert given.isdisjoint({7460, 7461, 7462})


def test_the_build_sees_what_it_copies() -> None:
    build, _ = stages()
    sources = [word for each in build.all("COPY") for word in each.rest.split()[:-1]]
    assert LOCK in sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert not is_left_out(source, ignored()), source
    files = [path for package in ("mesh", "gateway", "certs") for path in (ROOT / package).rglob("*") if path.is_file()]
    ours = [str(path.relative_to(ROOT)) for path in files if path.suffix not in {".pyc", ".so"}]
    assert [path for path in ours if is_left_out(path, ignored())] == []


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".venv/bin/python",
        "tests/conftest.py",
        "acme/keys/ca.key",
        "docs/tutorial.md",
        "requirements.lock",
        "gateway/__pycache__/app.pyc",
        "mesh/batch/_native.abi3.so",
        "mesh/.env",
        "gateway/cli/.secret/key",
    ],
)
def test_the_build_does_not_see(path: str) -> None:
    assert is_left_out(path, ignored())


def test_the_lock_of_the_image_is_a_part_of_the_whole_one() -> None:
    whole, image = locked("requirements.lock"), locked(LOCK)
    # a marker may be wider in the whole lock: there, somebody else needs the package elsewhere, too
    assert {name: entry[0] for name, entry in image.items()} == {name: whole[name][0] for name in image}


def test_the_lock_of_the_image_has_what_the_gateway_needs_and_nothing_more() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = needed([Requirement(text).name for text in project["dependencies"]])
    here = {name for name, (_, marker) in locked(LOCK).items() if not marker or Marker(marker).evaluate()}
    assert here == wanted | {"setuptools"}
