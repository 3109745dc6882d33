"""The manifests of examples/kubernetes as values: objects, the pods they make, and what a container sees."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2] / "examples" / "kubernetes"
SETS = sorted(path.parent.name for path in ROOT.glob("*/kustomization.yaml"))
KUSTOMIZATION = "kustomization.yaml"
IMAGE = "stream-mesh"
Object = dict[str, Any]


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping: YAML readers take the last one, and say nothing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep) for key, _ in node.value]
        if len(keys) != len(set(keys)):
            raise yaml.constructor.ConstructorError(None, None, f"a key stands twice in {keys}", node.start_mark)
        return super().construct_mapping(node, deep)


def load(path: Path) -> list[Object]:
    with path.open() as file:
        return [document for document in yaml.load_all(file, _Loader) if document]


def objects(name: str) -> list[Object]:
    """All of a set, except its kustomization; the caller's own."""
    return deepcopy(_objects(name))


@cache
def _objects(name: str) -> list[Object]:
    paths = [path for path in sorted((ROOT / name).glob("*.yaml")) if path.name != KUSTOMIZATION]
    return [document for path in paths for document in load(path)]


def of_kind(name: str, *kinds: str) -> list[Object]:
    return [each for each in objects(name) if each["kind"] in kinds]


@dataclass(frozen=True, slots=True)
class Container:
    """One container and the pod that it is in."""

    spec: Object
    pod: Object
    is_init: bool

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def is_sidecar(self) -> bool:
        return self.is_init and self.spec.get("restartPolicy") == "Always"

    @property
    def is_gateway(self) -> bool:
        """Whether it runs `mesh` as the image does."""
        return bool(self.spec["image"] == IMAGE and "command" not in self.spec)

    @property
    def variables(self) -> dict[str, str]:
        """With a pod's name where the pod's name is asked for."""
        return {each["name"]: each.get("value", "pod-1") for each in self.spec.get("env", ())}

    @property
    def mounts(self) -> dict[str, Object]:
        """By the path in the container."""
        return {mount["mountPath"]: mount for mount in self.spec.get("volumeMounts", ())}

    @property
    def ports(self) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for port in self.spec.get("ports", ())}

    def probes(self) -> Iterator[Object]:
        yield from (
            self.spec[each] for each in ("startupProbe", "readinessProbe", "livenessProbe") if each in self.spec
        )

    def volume(self, mount: Object) -> Object:
        (found,) = (each for each in self.pod["spec"]["volumes"] if each["name"] == mount["name"])
        return dict(found)


def pod_of(name: str) -> Object:
    """The one pod template of a set."""
    (found,) = of_kind(name, "Deployment", "Job")
    return dict(found["spec"]["template"])


def containers(name: str) -> list[Container]:
    pod = pod_of(name)
    first = [Container(spec, pod, True) for spec in pod["spec"].get("initContainers", ())]
    return first + [Container(spec, pod, False) for spec in pod["spec"]["containers"]]


def gateway_of(name: str) -> Container:
    (found,) = (each for each in containers(name) if each.is_gateway)
    return found
