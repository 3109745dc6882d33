"""The ports file: what a gateway writes, a command reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.ports_file import Ports, read_ports, remove_ports, write_ports
from mesh.local.names import PORTS_NAME


def test_what_is_written_is_read_by_its_owner_only(tmp_path: Path) -> None:
    ports = Ports("127.0.0.1:7462", peers="127.0.0.1:7463", pid=7)

    path = write_ports(tmp_path, ports)

    assert read_ports(tmp_path) == ports
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == [PORTS_NAME]


def test_the_ready_line_is_one_json_object() -> None:
    assert json.loads(Ports("127.0.0.1:1").line()) == {
        "ready": True, "admin": "127.0.0.1:1", "peers": "", "enrolment": "", "local_http": "", "local_grpc": "",
        "health": "", "pid": 0,
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"admin": 1}', '{"admin": ""}', "\x00"])
def test_an_unusable_file_is_like_none(tmp_path: Path, text: str) -> None:
    (tmp_path / PORTS_NAME).write_text(text)

    assert read_ports(tmp_path) is None


def test_a_newer_file_with_more_ports_is_read(tmp_path: Path) -> None:
    (tmp_path / PORTS_NAME).write_text('{"admin": "127.0.0.1:1", "console": "127.0.0.1:2"}')

    assert read_ports(tmp_path) == Ports("127.0.0.1:1")


def test_removing_twice_is_no_error(tmp_path: Path) -> None:
    write_ports(tmp_path, Ports("127.0.0.1:1"))

    remove_ports(tmp_path)
    remove_ports(tmp_path)

    assert read_ports(tmp_path) is None
