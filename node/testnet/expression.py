"""Conditions over the nodes of a network: `all(height >= 100) and any(phase == 'live')`.

    condition  = conjunction { "or" conjunction }
    conjunction = factor { "and" factor }
    factor     = "not" factor | ("all" | "any") "(" condition ")" | "(" condition ")" | comparison
    comparison = field ( "==" | "!=" | ">=" | "<=" | ">" | "<" ) ( number | 'text' | text )

A comparison outside of `any(...)` must hold on every node. Text is parsed into a typed
expression; nothing is ever evaluated as code.
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from node.errors import ConfigError

FieldValue: TypeAlias = "int | float | str | bool | None"
Facts: TypeAlias = Mapping[str, FieldValue]
"""What is known of one node; None where it does not answer."""

NUMBER_FIELDS: Final = frozenset({"height", "finalized", "peers", "behind"})
TEXT_FIELDS: Final = frozenset({"state", "phase", "profile", "name", "head", "consensus"})

WORDS: Final = {
    "state": ("running", "stopped", "crashed", "silent", "waiting"),
    "phase": ("searching", "macro_sync", "state_sync", "live"),
    "profile": ("history", "full", "light", "pico"),
    "consensus": ("yes", "no"),
}
"""All that a field can be: a condition on another word would be waited for in vain."""

_ALIASES: Final = {"head_height": "height", "macro": "finalized"}
_TOKEN: Final = re.compile(r"\s*(>=|<=|==|!=|>|<|\(|\)|'[^']*'|\"[^\"]*\"|[\w.\-]+)")
_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
MAX_DEPTH: Final = 50
"""Deeper nesting is a slip of the keyboard, and would exhaust the parser's stack."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One field against one value."""

    field: str
    operator: str
    value: FieldValue


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    inner: "Condition"


@dataclass(frozen=True, slots=True)
class Both:
    """Conjunction."""

    left: "Condition"
    right: "Condition"


@dataclass(frozen=True, slots=True)
class Either:
    """Disjunction."""

    left: "Condition"
    right: "Condition"


@dataclass(frozen=True, slots=True)
class Every:
    """Holds on all nodes."""

    inner: "Condition"


@dataclass(frozen=True, slots=True)
class Some:
    """Holds on at least one node."""

    inner: "Condition"


Condition: TypeAlias = Comparison | Not | Both | Either | Every | Some


def holds(condition: Condition, nodes: Sequence[Facts]) -> bool:
    """Tell whether a condition holds for a whole network."""
    match condition:
        case Comparison():
            return all(holds_on(condition, node) for node in nodes)
        case Every(inner):
            return all(holds_on(inner, node) for node in nodes)
        case Some(inner):
            return any(holds_on(inner, node) for node in nodes)
        case Not(inner):
            return not holds(inner, nodes)
        case Both(left, right):
            return holds(left, nodes) and holds(right, nodes)
        case Either(left, right):
            return holds(left, nodes) or holds(right, nodes)


def holds_on(condition: Condition, node: Facts) -> bool:
    """Tell whether a condition holds for one node."""
    match condition:
        case Comparison(field, name, value):
            actual = node.get(field)
            return actual is not None and _OPERATORS[name](actual, value)
        case Every(inner) | Some(inner):
            return holds_on(inner, node)
        case Not(inner):
            return not holds_on(inner, node)
        case Both(left, right):
            return holds_on(left, node) and holds_on(right, node)
        case Either(left, right):
            return holds_on(left, node) or holds_on(right, node)


def parse(text: str) -> Condition:
    """Read a condition.

    Raises:
        ConfigError: It is not one; the message says where.
    """
    parser = _Parser(text)
    condition = parser.condition(0)
    parser.expect_end()
    return condition


class _Parser:
    """Recursive descent over the tokens of one condition."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._next = 0

    def condition(self, depth: int) -> Condition:
        if depth > MAX_DEPTH:
            raise self._error("nested too deeply")
        left = self._conjunction(depth)
        while self._take_if("or"):
            left = Either(left, self._conjunction(depth))
        return left

    def expect_end(self) -> None:
        if self._peek():
            raise self._error(f"unexpected {self._peek()!r}")

    def _conjunction(self, depth: int) -> Condition:
        left = self._factor(depth)
        while self._take_if("and"):
            left = Both(left, self._factor(depth))
        return left

    def _factor(self, depth: int) -> Condition:
        if depth > MAX_DEPTH:
            raise self._error("nested too deeply")
        if self._take_if("not"):
            return Not(self._factor(depth + 1))
        if self._take_if("all"):
            return Every(self._parenthesized(depth))
        if self._take_if("any"):
            return Some(self._parenthesized(depth))
        if self._peek() == "(":
            return self._parenthesized(depth)
        return self._comparison()

    def _parenthesized(self, depth: int) -> Condition:
        self._expect("(")
        inner = self.condition(depth + 1)
        self._expect(")")
        return inner

    def _comparison(self) -> Comparison:
        written = self._take()
        field = _ALIASES.get(written, written)
        if field not in NUMBER_FIELDS | TEXT_FIELDS:
            fields = ", ".join(sorted(NUMBER_FIELDS | TEXT_FIELDS))
            raise self._error(f"unknown field {written!r}: one of {fields}")
        name = self._take()
        if name not in _OPERATORS:
            raise self._error(f"{name!r} is no comparison")
        if field in TEXT_FIELDS and name not in {"==", "!="}:
            raise self._error(f"{field} can only be compared with == and !=")
        return Comparison(field, name, self._value(field))

    def _value(self, field: str) -> FieldValue:
        token = self._take()
        if field in TEXT_FIELDS:
            word = token.strip("'\"")
            if word not in WORDS.get(field, (word,)):
                raise self._error(f"{field} is one of {', '.join(WORDS[field])}, not {word!r}")
            return word
        if not token.isdecimal():
            raise self._error(f"{field} needs a whole number, not {token!r}")
        return int(token)

    def _peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._peek()
        if not token:
            raise self._error("it ends too early")
        self._next += 1
        return token

    def _take_if(self, token: str) -> bool:
        if self._peek() != token:
            return False
        self._next += 1
        return True

    def _expect(self, token: str) -> None:
        if not self._take_if(token):
            raise self._error(f"{token!r} expected before {self._peek() or 'the end'!r}")

    def _error(self, reason: str) -> ConfigError:
        return ConfigError(f"condition {self._text!r}: {reason}")


def _tokens(text: str) -> list[str]:
    tokens, position = [], 0
    stripped = text.rstrip()
    while position < len(stripped):
        match = _TOKEN.match(stripped, position)
        if match is None:
            rest = stripped[position:].strip()
            hint = "; is == meant?" if rest.startswith("=") else ""
            raise ConfigError(f"condition {text!r}: unexpected {rest[:10]!r}{hint}")
        tokens.append(match[1])
        position = match.end()
    return tokens
