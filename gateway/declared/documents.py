"""Files of declared objects: YAML (several documents, or lists of objects), TOML (`[[object]]` tables), JSON as YAML.

A. A key that is given twice is refused: of two answers none is taken.
B. What is written here is read back as the same objects.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import yaml

from gateway.config_file import nearest
from gateway.declared.errors import DeclarationRefused, Unfit
from gateway.declared.kinds import PARTS, Declared, parse_object

Form = Literal["yaml", "toml"]
TABLES = "object"
"""The name of the array of tables in TOML."""


def form_of(name: str) -> Form:
    """By the end of a file's name: YAML, of which JSON is a part, unless it is TOML."""
    return "toml" if name.endswith(".toml") else "yaml"


def read(text: str, where: str, form: Form) -> list[Declared]:
    """The objects in `text`. Raises DeclarationRefused with all their faults."""
    found: list[Declared] = []
    faults: list[tuple[str, str]] = []
    try:
        documents = list(_toml(text) if form == "toml" else _yaml(text))
    except Unfit as error:
        raise DeclarationRefused(where, str(error)) from error
    for number, document in enumerate(documents, 1):
        try:
            found.append(parse_object(document))
        except Unfit as error:
            faults.append((f"{where}, object {number}{_called(document)}", str(error)))
    _refuse(faults)
    return found


def joined(objects: Iterable[Declared]) -> list[Declared]:
    """The objects of all files. Raises DeclarationRefused where one is declared twice."""
    found: dict[tuple[str, str], Declared] = {}
    faults: list[tuple[str, str]] = []
    for each in objects:
        if each.key in found:
            faults.append((f"{each.kind} {each.name}", "it is declared twice"))
        found[each.key] = each
    _refuse(faults)
    return list(found.values())


def _refuse(faults: list[tuple[str, str]]) -> None:
    if faults:
        (where, why), *rest = faults
        raise DeclarationRefused(where, why, [f"{place}: {what}" for place, what in rest])


def _called(document: object) -> str:
    if isinstance(document, Mapping) and isinstance(name := document.get("name"), str):
        return f" ({name[:80]})"
    return ""


def _yaml(text: str) -> Iterator[object]:
    try:
        for document in yaml.load_all(text, _Loader):
            if isinstance(document, list):
                yield from document
            elif document is not None:  # an empty document, as between two lines of ---
                yield document
    except yaml.MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise Unfit(f"it is not YAML: {place}{error.problem or error.context}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: a date that there is not
        raise Unfit(f"it is not YAML: {error or 'it is nested too deeply'}") from error


class _Loader(yaml.SafeLoader):
    """Plain values only, and no key twice (A)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"{key.value[:80]!r} is given twice", key.start_mark
                    )
                seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def _toml(text: str) -> Iterator[object]:
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Unfit(f"it is not TOML: {error}") from error
    if "kind" in document:
        yield document
        return
    for key in document:
        if key != TABLES:
            near = nearest(key, (TABLES, *PARTS))
            raise Unfit(f"{key[:80]!r} is not known: objects are [[{near or TABLES}]] tables")
    objects = document.get(TABLES, [])
    if not isinstance(objects, list):
        raise Unfit(f"write [[{TABLES}]] for each object, with two brackets")
    yield from objects


def written(objects: Iterable[Declared], form: Form) -> str:
    documents = [each.document() for each in objects]
    if form == "toml":
        return "\n".join("\n".join(_toml_table(document)) + "\n" for document in documents)
    return yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True, width=120) if documents else ""


def _toml_table(document: Mapping[str, Any]) -> Iterator[str]:
    yield f"[[{TABLES}]]"
    yield f"kind = {_toml_value(document['kind'])}"
    yield f"name = {_toml_value(document['name'])}"
    yield f"[{TABLES}.spec]"
    inner = {key: value for key, value in document["spec"].items() if isinstance(value, Mapping)}
    for key, value in document["spec"].items():
        if key not in inner:
            yield f"{key} = {_toml_value(value)}"
    for key, value in inner.items():
        yield f"[{TABLES}.spec.{key}]"
        for source, destination in value.items():
            yield f"{_toml_value(source)} = {_toml_value(destination)}"


def _toml_value(value: object) -> str:
    """TOML's strings, whole numbers, booleans and lists of them are those of JSON."""
    return json.dumps(value, ensure_ascii=False)
