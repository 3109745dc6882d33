"""The manifests fit the schemas of Kubernetes, and what they name fits the code: nothing here asks a cluster."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import kubernetes_validate
import kubernetes_validate.utils
import pytest

from gateway.admin.health import routes
from gateway.config import GatewayConfig, load_config
from gateway.config_layers import RESERVED_ENV, environment_layer
from gateway.health import Health
from mesh.local.names import TOKEN_NAME
from tests.support.commands import unknown_of
from tests.support.manifests import (
    IMAGE,
    KUSTOMIZATION,
    ROOT,
    SETS,
    Container,
    containers,
    gateway_of,
    load,
    objects,
    of_kind,
    pod_of,
)

OLDEST, NEWEST = "1.30", kubernetes_validate.latest_version()
USER = 10001
MARGIN_S = 5
HOME = "/var/lib/mesh"
PROBE_PATHS = {str(route.path) for route in routes(Health(), bytes)}
every_set = pytest.mark.parametrize("name", SETS)


@pytest.fixture(autouse=True)
def schemas_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Megabytes of definitions, otherwise read again for each object."""
    monkeypatch.setattr(kubernetes_validate.utils, "schema_contents", schema_contents)


schema_contents = cache(kubernetes_validate.utils.schema_contents)


def config_of(name: str, tmp_path: Path) -> GatewayConfig:
    """The gateway's configuration as its container has it; files of secrets lie below `tmp_path`."""
    (document,) = of_kind(name, "ConfigMap")
    path = tmp_path / "mesh.toml"
    path.write_text(document["data"]["mesh.toml"].replace("/run/mesh", str(tmp_path / "run")))
    for mount in gateway_of(name).mounts.values():
        if mount["mountPath"].startswith("/run/mesh/"):
            directory = tmp_path / mount["mountPath"][1:].removeprefix("run/mesh/")
            directory = tmp_path / "run" / directory.relative_to(tmp_path)
            directory.mkdir(parents=True)
            for file in ("password", "ca.crt"):
                (directory / file).write_text("x\n")
    return load_config(path, {}, gateway_of(name).variables)


@every_set
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_object_fits_its_schema(name: str, version: str) -> None:
    for document in objects(name):
        kubernetes_validate.validate(document, version, strict=True)


def test_an_object_that_does_not_fit_is_noticed() -> None:
    (service,) = (each for each in of_kind("gateway", "Service") if each["metadata"]["name"] == "mesh-peers")
    service["spec"]["ports"][0]["prt"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(service, NEWEST, strict=True)


@every_set
def test_the_kustomization_names_each_file_and_each_image(name: str) -> None:
    (kustomization,) = load(ROOT / name / KUSTOMIZATION)
    files = {path.name for path in (ROOT / name).iterdir()} - {KUSTOMIZATION}
    assert sorted(kustomization["resources"]) == sorted(files)
    assert {image["name"] for image in kustomization["images"]} == {each.spec["image"] for each in containers(name)}
    (namespace,) = of_kind(name, "Namespace")
    within = {each["metadata"]["namespace"] for each in objects(name) if each["kind"] != "Namespace"}
    assert within == {kustomization["namespace"]} == {namespace["metadata"]["name"]}
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@every_set
def test_every_container_is_confined(name: str) -> None:
    pod = pod_of(name)["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"] == {
        "runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
        "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    for container in containers(name):
        assert container.spec["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert {"cpu", "memory"} <= set(container.spec["resources"]["requests"])
        assert "memory" in container.spec["resources"]["limits"]


@every_set
def test_the_configuration_is_valid_and_keeps_to_writable_places(name: str, tmp_path: Path) -> None:
    config = config_of(name, tmp_path)
    for directory in (config.keys_dir, config.state_dir, config.data_dir):
        assert directory.is_relative_to(HOME)
    assert HOME in gateway_of(name).mounts
    assert "/tmp" in gateway_of(name).mounts
    assert not any(mount.get("readOnly") for path, mount in gateway_of(name).mounts.items() if path in {HOME, "/tmp"})
    assert gateway_of(name).variables["MESH_CONFIG"] == "/etc/mesh/mesh.toml"
    assert gateway_of(name).mounts["/etc/mesh"]["readOnly"]


@every_set
def test_every_variable_is_one_that_somebody_reads(name: str) -> None:
    for container in containers(name):
        variables = {key: text for key, text in container.variables.items() if key.startswith("MESH_")}
        if container.spec["image"] == IMAGE:
            assert len(environment_layer(variables)) == len(set(variables) - RESERVED_ENV), container.name
        else:
            assert set(variables) <= RESERVED_ENV, container.name


@every_set
def test_every_command_exists(name: str) -> None:
    organization = config_organization(name)
    for container in containers(name):
        if container.is_gateway:
            assert unknown_of(container.spec["args"]) == ""
        for script in container.spec.get("args", ()) if container.is_init and not container.is_sidecar else ():
            commands = re.findall(r"\bmesh (init .*)$", script, re.MULTILINE)
            assert commands
            for command in commands:
                assert unknown_of(command) == ""
                assert re.findall(r"--org (\S+)", command) in ([], [organization])
                assert f"--dir {HOME}/home" in command


def config_organization(name: str) -> str:
    (document,) = of_kind(name, "ConfigMap")
    (found,) = re.findall(r'^organization = "(.+)"$', document["data"]["mesh.toml"], re.MULTILINE)
    return str(found)


@every_set
def test_ports_are_those_of_the_configuration(name: str, tmp_path: Path) -> None:
    config, gateway = config_of(name, tmp_path), gateway_of(name)
    listening = {"peers": config.peers_listen, "enrolment": config.enrolment_listen, "health": config.health_listen}
    assert gateway.ports == {key: address.port for key, address in listening.items() if address is not None}
    assert all(address.host == "0.0.0.0" for address in listening.values() if address is not None)
    assert config.admin_listen.is_loopback
    scraped = gateway.pod["metadata"]["annotations"]
    assert scraped["prometheus.io/port"] == str(gateway.ports["health"])
    assert scraped["prometheus.io/path"] in PROBE_PATHS
    for service in of_kind(name, "Service"):
        for port in service["spec"]["ports"]:
            assert gateway.ports[port["targetPort"]] == port["port"]


@every_set
def test_probes_ask_paths_that_there_are(name: str) -> None:
    gateway = gateway_of(name)
    assert gateway.spec["startupProbe"]["httpGet"]["path"] == "/readyz"
    assert gateway.spec["livenessProbe"]["httpGet"]["path"] == "/livez"
    for probe in gateway.probes():
        assert probe["httpGet"]["path"] in PROBE_PATHS
        assert gateway.ports[probe["httpGet"]["port"]]


@every_set
def test_a_start_may_take_as_long_as_the_wait_for_the_cluster(name: str, tmp_path: Path) -> None:
    config, probe = config_of(name, tmp_path), gateway_of(name).spec["startupProbe"]
    needed_s = config.timing.cluster_wait_s if config.cluster_kind == "kafka" else 60
    assert probe["periodSeconds"] * probe["failureThreshold"] > needed_s


@every_set
def test_the_end_has_time_for_everything(name: str, tmp_path: Path) -> None:
    timing, gateway = config_of(name, tmp_path).timing, gateway_of(name)
    before_s = gateway.spec.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    application_s = 30 if gateway.is_sidecar else 0
    needed_s = before_s + application_s + timing.drain_pre_s + timing.drain_timeout_s + MARGIN_S
    assert gateway.pod["spec"]["terminationGracePeriodSeconds"] >= needed_s
    assert not (before_s and gateway.is_sidecar), "it would run while the application still works"


@every_set
def test_network_policies_let_in_what_listens_and_reach_what_is_named(name: str, tmp_path: Path) -> None:
    config, gateway = config_of(name, tmp_path), gateway_of(name)
    pod_labels = gateway.pod["metadata"]["labels"]
    policies = of_kind(name, "NetworkPolicy")
    (whole,) = (each for each in policies if each["spec"]["podSelector"]["matchLabels"].items() <= pod_labels.items())
    assert whole["spec"]["policyTypes"] == ["Ingress", "Egress"]
    let_in = {port["port"] for policy in policies for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    assert let_in == set(gateway.ports.values())
    reached = {port["port"] for rule in whole["spec"]["egress"] for port in rule["ports"]}
    assert {53, 7463, 7464, 443} <= reached
    if config.kafka is not None:
        assert {int(broker.rpartition(":")[2]) for broker in config.kafka.bootstrap} <= reached
    for service in of_kind(name, "Service"):
        selector = service["spec"]["selector"]
        opened = [policy for policy in policies if policy["spec"]["podSelector"]["matchLabels"] == selector]
        assert selector.items() <= pod_labels.items() or opened


@every_set
def test_who_sees_the_ca_key_and_the_tokens(name: str) -> None:
    for container in containers(name):
        for mount in container.mounts.values():
            volume = container.volume(mount)
            secret = volume.get("secret", {}).get("secretName")
            if secret == "mesh-authority":
                assert container.is_init
                assert not container.is_sidecar
            if secret is not None:
                assert mount["readOnly"]
                assert volume["secret"]["defaultMode"] == 0o440
            if volume["name"] == "home" and container.spec["image"] != IMAGE:
                assert mount["readOnly"]
                assert mount["subPath"] == f"home/state/{TOKEN_NAME}"


@pytest.mark.parametrize("name", ["sidecar", "job"])
def test_a_sidecar_begins_before_its_application_and_offers_it_the_local_api(name: str, tmp_path: Path) -> None:
    gateway = gateway_of(name)
    (application,) = (each for each in containers(name) if not each.is_init)
    config = load_config(_plain(name, tmp_path), {}, {})
    assert gateway.is_sidecar
    assert gateway.spec["startupProbe"]
    assert config.origins["listen.local_grpc"].value == application.variables["MESH_API"]
    assert application.variables["MESH_API_TOKEN_FILE"] in application.mounts
    (volume,) = of_kind(name, "PersistentVolumeClaim")
    assert volume["spec"]["accessModes"] == ["ReadWriteOncePod"]
    assert claimed(gateway) == volume["metadata"]["name"]


def _plain(name: str, tmp_path: Path) -> Path:
    (document,) = of_kind(name, "ConfigMap")
    path = tmp_path / "mesh.toml"
    path.write_text(document["data"]["mesh.toml"])
    return path


def claimed(container: Container) -> str:
    volume = container.volume(container.mounts[HOME])
    return str(volume["persistentVolumeClaim"]["claimName"])


def test_one_pod_writes_an_embedded_log() -> None:
    (deployment,) = of_kind("sidecar", "Deployment")
    (job,) = of_kind("job", "Job")
    assert (deployment["spec"]["replicas"], deployment["spec"]["strategy"]) == (1, {"type": "Recreate"})
    assert (job["spec"]["parallelism"], job["spec"]["podReplacementPolicy"]) == (1, "Failed")


def test_gateways_on_kafka_are_several_and_each_has_its_own_name() -> None:
    (deployment,) = of_kind("gateway", "Deployment")
    names = [each for each in gateway_of("gateway").spec["env"] if each["name"] == "MESH_GATEWAY"]
    assert deployment["spec"]["replicas"] > 1
    assert names == [{"name": "MESH_GATEWAY", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    (budget,) = of_kind("gateway", "PodDisruptionBudget")
    assert budget["spec"]["selector"] == deployment["spec"]["selector"]


def test_every_command_of_the_page_exists() -> None:
    found = re.findall(
        r"(?:^    |-- |`)mesh ((?:\w+ )?[a-z]+[^`|<…\n]*)", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    assert len(found) > 8
    for command in found:
        assert unknown_of(command.replace("$POD", "")) == "", command
