"""Reads as much of PromQL as our rules and dashboards use: which series an expression asks for, which labels it keeps.

A small recursive descent. What it does not know it refuses, so that an expression that nobody has checked cannot pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

AGGREGATIONS = frozenset({"sum", "min", "max", "avg", "count", "topk", "bottomk"})
RANGE_FUNCTIONS = frozenset({"rate", "increase", "delta", "deriv", "max_over_time", "min_over_time"})
FUNCTIONS = frozenset({"absent", "abs", "clamp_min", "clamp_max", "time"}) | RANGE_FUNCTIONS
OPERATORS = frozenset({"+", "-", "*", "/", "%", "==", "!=", "<", ">", "<=", ">=", "and", "or", "unless", "bool"})
_TOKEN = re.compile(
    r'\s*(?:(?P<word>[A-Za-z_:][A-Za-z0-9_:]*)|(?P<number>\d+(?:\.\d+)?)|(?P<text>"(?:[^"\\]|\\.)*")'
    r"|(?P<range>\[(?:\d+[smhdw]|\$__rate_interval)\])|(?P<sign>=~|!~|==|!=|<=|>=|[-+*/%<>=(){},]))"
)


class NotUnderstood(Exception):
    """An expression that this reader does not know, or that is wrong."""


@dataclass(frozen=True, slots=True)
class Selector:
    metric: str
    matchers: tuple[tuple[str, str, str], ...] = ()
    """Label, operator, value."""


@dataclass(frozen=True, slots=True)
class Expression:
    selectors: tuple[Selector, ...] = ()
    labels: frozenset[str] = frozenset()
    """Of the series that it gives."""
    is_range: bool = False
    is_number: bool = False

    def joined(self, other: Expression) -> Expression:
        """Of a binary operator: the left side's labels, unless it is only a number."""
        labels = other.labels if self.is_number else self.labels
        return Expression(self.selectors + other.selectors, labels, is_number=self.is_number and other.is_number)


def read(text: str, metrics: Mapping[str, frozenset[str]]) -> Expression:
    """The expression in `text`, over `metrics` (name to labels). Raises NotUnderstood."""
    reader = _Reader(text, metrics)
    found = reader.expression()
    if reader.kind:
        raise NotUnderstood(f"{text}: {reader.token!r} is one too many")
    if found.is_range:
        raise NotUnderstood(f"{text}: a range is no value")
    return found


class _Reader:
    def __init__(self, text: str, metrics: Mapping[str, frozenset[str]]) -> None:
        self.text, self.metrics = text.rstrip(), metrics
        self.at = 0
        self.kind = self.token = ""
        self.step()

    def step(self) -> str:
        """The token at hand; the next one takes its place."""
        taken = self.token
        if self.at >= len(self.text):
            self.kind = self.token = ""
            return taken
        match = _TOKEN.match(self.text, self.at)
        if match is None:
            raise NotUnderstood(f"{self.text}: not known from {self.text[self.at :]!r} on")
        self.kind, self.at = match.lastgroup or "", match.end()
        self.token = match[self.kind]
        return taken

    def expect(self, token: str) -> None:
        if self.step() != token:
            raise NotUnderstood(f"{self.text}: {token!r} is missing")

    def expression(self) -> Expression:
        found = self.operand()
        while self.token in OPERATORS:
            self.step()
            if self.token in {"on", "ignoring"}:
                self.step()
                self.labels()
            found = found.joined(self.operand())
        return found

    def operand(self) -> Expression:
        if self.kind == "number":
            self.step()
            return Expression(is_number=True)
        if self.token == "(":
            self.step()
            found = self.expression()
            self.expect(")")
            return found
        if self.kind != "word":
            raise NotUnderstood(f"{self.text}: {self.token!r} is no operand")
        return self.called(self.step())

    def called(self, name: str) -> Expression:
        if name in AGGREGATIONS:
            return self.aggregation(name)
        if name in FUNCTIONS and self.token == "(":
            found = self.arguments()
            if found.is_range is not (name in RANGE_FUNCTIONS):
                raise NotUnderstood(f"{self.text}: {name} takes {'no' if found.is_range else 'a'} range")
            return Expression(found.selectors, frozenset() if name == "absent" else found.labels)
        return self.selector(name)

    def aggregation(self, name: str) -> Expression:
        kept = self.kept()
        found = self.arguments()
        kept = kept or self.kept()
        if found.is_range:
            raise NotUnderstood(f"{self.text}: {name} takes no range")
        return Expression(found.selectors, kept(found.labels) if kept else frozenset())

    def kept(self) -> Callable[[frozenset[str]], frozenset[str]] | None:
        if self.token not in {"by", "without"}:
            return None
        is_by, named = self.step() == "by", self.labels()

        def keep(labels: frozenset[str]) -> frozenset[str]:
            if named - labels:
                raise NotUnderstood(f"{self.text}: there is no label {sorted(named - labels)}")
            return named if is_by else labels - named

        return keep

    def arguments(self) -> Expression:
        self.expect("(")
        found = self.expression()
        while self.token == ",":
            self.step()
            found = found.joined(self.expression())
        self.expect(")")
        return found

    def labels(self) -> frozenset[str]:
        self.expect("(")
        names = {self.step()}
        while self.token == ",":
            self.step()
            names.add(self.step())
        self.expect(")")
        return frozenset(names)

    def selector(self, metric: str) -> Expression:
        if metric not in self.metrics:
            raise NotUnderstood(f"{self.text}: there is no metric {metric}")
        matchers = []
        if self.token == "{":
            self.step()
            while self.token != "}":
                label, operator, value = self.step(), self.step(), self.step()
                if label not in self.metrics[metric] or operator not in {"=", "!=", "=~", "!~"} or value[:1] != '"':
                    raise NotUnderstood(f"{self.text}: {metric} has no {label}{operator}{value}")
                matchers.append((label, operator, value[1:-1]))
                if self.token == ",":
                    self.step()
            self.expect("}")
        is_range = self.kind == "range"
        if is_range:
            self.step()
        return Expression((Selector(metric, tuple(matchers)),), self.metrics[metric], is_range)
