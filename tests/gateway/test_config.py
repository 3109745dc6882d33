from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from gateway.address import Address
from gateway.config import GatewayConfig, load_config
from gateway.config_docs import render_config, render_reference
from gateway.config_file import keys
from gateway.config_layers import ConfigInvalid, ConfigUnknownKey, ConfigUnreadable, environment_layer
from mesh.ids import GatewayId, GatewayName, OrgId

REPOSITORY = Path(__file__).parents[2]
MINIMAL = 'organization = "acme.example"\n'


def write(directory: Path, text: str) -> Path:
    path = directory / "mesh.toml"
    path.write_text(text)
    return path


def load(directory: Path, text: str = MINIMAL, /, **environ: str) -> GatewayConfig:
    return load_config(write(directory, text), {}, environ)


def test_an_organization_alone_is_a_configuration_with_defaults(tmp_path: Path) -> None:
    config = load(tmp_path)
    assert config.gateway_id == GatewayId(OrgId("acme.example"), GatewayName("gw-1"))
    assert (config.peers_listen, config.admin_listen) == (Address("127.0.0.1", 7463), Address("127.0.0.1", 7462))
    assert (config.cluster_kind, config.kafka) == ("embedded", None)
    assert (config.limits.max_batch_bytes, config.timing.drain_timeout_s) == (16 << 20, 15)
    assert config.state_dir == tmp_path / "state"


def test_flags_win_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL + '[listen]\npeers = "127.0.0.1:1"\n[timing]\nheartbeat_s = 1\ncheckpoint_s = 1\n')
    environ = {"MESH_TIMING__HEARTBEAT_S": "2", "MESH_TIMING__CHECKPOINT_S": "2"}
    config = load_config(path, {"timing.checkpoint_s": "3"}, environ)
    assert (config.peers_listen, config.timing.heartbeat_s, config.timing.checkpoint_s) == (
        Address("127.0.0.1", 1),
        2,
        3,
    )
    origins = {name: setting.origin for name, setting in config.origins.items()}
    assert origins["listen.peers"] == str(path)
    assert origins["timing.heartbeat_s"] == "environment MESH_TIMING__HEARTBEAT_S"
    assert origins["timing.checkpoint_s"] == "flag"
    assert origins["limits.frame_bytes"] == "default"


@pytest.mark.parametrize(
    ("text", "key", "near"),
    [
        ('organisation = "acme.example"', "organisation", "organization"),
        (MINIMAL + "[limits]\nframe_byte = 1", "limits.frame_byte", "limits.frame_bytes"),
        (MINIMAL + "[limit]\nframe_bytes = 1", "limit", "limits"),
        (
            MINIMAL + "[cluster.kafka]\nbootstrap_servers = []",
            "cluster.kafka.bootstrap_servers",
            "cluster.kafka.bootstrap",
        ),
    ],
)
def test_an_unknown_key_refuses_the_start_and_names_the_nearest(tmp_path: Path, text: str, key: str, near: str) -> None:
    with pytest.raises(ConfigUnknownKey) as raised:
        load(tmp_path, text)
    assert (raised.value.key, raised.value.nearest) == (key, near)
    assert str(raised.value) == f"unknown key {key!r} in {tmp_path / 'mesh.toml'}"
    assert raised.value.remedy.startswith(f"did you mean {near!r}?")


def test_an_unknown_variable_or_flag_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigUnknownKey, match="MESH_LIMITS__FRAME_BYTE"):
        load(tmp_path, MESH_LIMITS__FRAME_BYTE="1")
    with pytest.raises(ConfigUnknownKey, match="MESH_ORGANISATION"):
        load(tmp_path, MESH_ORGANISATION="acme.example")
    with pytest.raises(ConfigUnknownKey, match="in flag"):
        load_config(write(tmp_path, MINIMAL), {"listen.peer": "x"}, {})


def test_variables_that_an_orchestrator_sets_are_not_ours() -> None:
    assert environment_layer({"MESH_GATEWAY_PORT": "tcp://10.0.0.1:7463", "MESH_SERVICE_HOST": "10.0.0.1"}) == {}
    assert environment_layer({"MESH_CONFIG": "mesh.toml", "HOME": "/"}) == {}


@pytest.mark.parametrize(
    ("text", "key", "why"),
    [
        ("", "organization", "required"),
        ('organization = "Acme"', "organization", "is not legal"),
        (MINIMAL + "[limits]\nframe_bytes = 1", "limits.frame_bytes", "greater than or equal to 1024"),
        (MINIMAL + "[limits]\nframe_bytes = 33554432", "limits", "must not exceed"),
        (MINIMAL + '[listen]\npeers = "nowhere"', "listen.peers", "'nowhere' is not an address"),
        (MINIMAL + '[listen]\nadmin = "0.0.0.0:7462"', "listen.admin", "loopback"),
        (MINIMAL + '[cluster]\nkind = "kafka"', "cluster", "needs cluster.kafka.bootstrap"),
        (MINIMAL + '[cluster.kafka]\nsecurity_protocol = "SASL_SSL"', "cluster.kafka", "needs sasl_username"),
        (MINIMAL + '[cluster.kafka]\ntls_key_file = "k"', "cluster.kafka", "go together"),
        (MINIMAL + "[timing]\nreconnect_initial_s = 11", "timing", "must not exceed"),
        (MINIMAL + "limits = 1", "limits", "it is a table"),
    ],
)
def test_a_bad_value_is_refused_with_its_key_and_reason(tmp_path: Path, text: str, key: str, why: str) -> None:
    with pytest.raises(ConfigInvalid, match=why) as raised:
        load(tmp_path, text)
    assert raised.value.key == key


def test_a_file_that_is_absent_or_not_toml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigUnreadable, match="no such file"):
        load_config(tmp_path / "mesh.toml", {}, {})
    with pytest.raises(ConfigUnreadable, match=r"mesh\.toml"):
        load(tmp_path, "organization =")


def kafka_table(more: str = "") -> str:
    return MINIMAL + (
        '[cluster]\nkind = "kafka"\n[cluster.kafka]\nbootstrap = ["127.0.0.1:9092"]\n'
        f'security_protocol = "SASL_PLAINTEXT"\nsasl_username = "mesh"\n{more}'
    )


def test_a_secret_comes_from_a_file_and_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("swordfish\n")
    by_key = load(tmp_path, kafka_table('sasl_password_file = "password"'))
    by_variable = load(tmp_path, kafka_table(), MESH_CLUSTER__KAFKA__SASL_PASSWORD_FILE="password")
    for config in (by_key, by_variable):
        assert config.kafka is not None
        assert config.kafka.password.reveal() == "swordfish"
        assert "swordfish" not in repr(config)
        assert config.origins["cluster.kafka.sasl_password"].value == "(hidden)"
        assert "file" in config.origins["cluster.kafka.sasl_password"].origin


def test_a_secret_given_twice_or_in_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="given twice"):
        load(tmp_path, kafka_table('sasl_password = "a"\nsasl_password_file = "b"'))
    with pytest.raises(ConfigUnreadable, match="password"):
        load(tmp_path, kafka_table('sasl_password_file = "password"'))


@pytest.mark.parametrize(
    ("line", "why"),
    [('sasl_password = "31415926"\ntls_key_file = "k"', "go together"), ("sasl_password = 31415926", "valid string")],
)
def test_a_refusal_never_shows_a_secret(line: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=why) as raised:
        load(tmp_path, kafka_table(line))
    assert "31415926" not in "".join(traceback.format_exception(raised.value))


def test_lists_are_written_with_commas_outside_the_file(tmp_path: Path) -> None:
    config = load(tmp_path, MESH_LISTEN__ADVERTISED="mesh.acme.example:443, [::1]:7463")
    assert config.advertised == (Address("mesh.acme.example", 443), Address("::1", 7463))


def test_no_listener_for_peers_is_a_choice(tmp_path: Path) -> None:
    assert load(tmp_path, MINIMAL + '[listen]\npeers = ""').peers_listen is None


def test_the_written_file_says_what_it_was_given_and_nothing_else(tmp_path: Path) -> None:
    values = {"organization": "acme.example", "listen.peers": "127.0.0.1:0", "listen.advertised": ["a.example:443"]}
    config = load(tmp_path, render_config(values))
    set_keys = {name for name, setting in config.origins.items() if setting.origin != "default"}
    assert set_keys == set(values)
    assert config.peers_listen == Address("127.0.0.1", 0)


def test_the_commented_defaults_are_the_defaults(tmp_path: Path) -> None:
    text = render_config({"organization": "acme.example"})
    opened = "\n".join(line.removeprefix("# ") if " = " in line else line for line in text.splitlines())
    opened = "\n".join(line for line in opened.splitlines() if not line.startswith("# "))
    assert load(tmp_path, opened) == load(tmp_path)


def test_the_reference_page_is_current() -> None:
    assert (REPOSITORY / "docs/reference/configuration.md").read_text() == render_reference()


def test_every_key_has_a_description() -> None:
    assert all(key.field.description for key in keys())
