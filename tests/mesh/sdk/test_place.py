"""Where the gateway is, and by which token."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mesh.sdk.errors import GatewayUnreachable
from mesh.sdk.place import DEFAULT_ADDRESS, TokenFile, TokenUnreadable, find


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "ports.json").write_text(json.dumps({"admin": "127.0.0.1:1", "local_grpc": "127.0.0.1:7999"}))
    (tmp_path / "local.token").write_text("newest\nolder\n")
    return tmp_path


def test_without_anything_it_is_the_default_address_and_no_token() -> None:
    place = find({})
    assert (place.address, place.token()) == (DEFAULT_ADDRESS, "")


def test_the_environment_says_both(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-a-file\n")
    place = find({"MESH_API": "unix:/run/mesh.sock", "MESH_API_TOKEN_FILE": str(tmp_path / "token")})
    assert (place.address, place.token()) == ("unix:/run/mesh.sock", "from-a-file")
    assert find({"MESH_API_TOKEN": "word"}).token() == "word"


def test_a_state_directory_says_both(state: Path) -> None:
    place = find({}, state_dir=state)
    assert (place.address, place.token()) == ("127.0.0.1:7999", "newest")
    assert find({"MESH_API_STATE": str(state)}).address == "127.0.0.1:7999"


def test_an_argument_goes_before_the_environment(state: Path) -> None:
    place = find({"MESH_API": "127.0.0.1:1", "MESH_API_STATE": str(state)}, "127.0.0.1:2", token="given")
    assert (place.address, place.token()) == ("127.0.0.1:2", "given")


def test_a_changed_token_file_needs_no_restart(state: Path) -> None:
    token = TokenFile(state / "local.token")
    assert token() == "newest"
    (state / "local.token").write_text("rotated\nnewest\n")
    assert token() == "rotated"


def test_a_state_directory_without_a_gateway_is_a_gateway_that_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(GatewayUnreachable, match=r"no gateway runs there"):
        find({}, state_dir=tmp_path)
    (tmp_path / "ports.json").write_text('{"admin": "127.0.0.1:1", "local_grpc": ""}')
    with pytest.raises(GatewayUnreachable, match="names no local gRPC listener"):
        find({}, state_dir=tmp_path)


def test_a_token_file_that_is_not_there_yet_is_a_gateway_that_has_not_started(tmp_path: Path) -> None:
    with pytest.raises(GatewayUnreachable, match="is not there yet"):
        TokenFile(tmp_path / "local.token")()


def test_a_token_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(TokenUnreadable, match="cannot be read: Is a directory"):
        TokenFile(tmp_path)()
