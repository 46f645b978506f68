"""Strict reading of the JSON files of operators: one line with file, key and reason.

A reader takes fields by name and checks kind and range; `end` refuses what nobody took.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, Self

from node.errors import ConfigError


class JsonFields:
    """One JSON object of a file. All methods that take a field raise `ConfigError`."""

    def __init__(self, file: Path, key: str, value: Any) -> None:
        self._file = file
        self._key = key
        if not isinstance(value, dict):
            self.refuse("", "not an object")
        self._left: dict[str, Any] = dict(value)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file that holds one object.

        Raises:
            ConfigError: Not readable, not JSON, a key that stands twice, or not an object.
        """
        try:
            value = json.loads(
                path.read_text(encoding="utf-8"),
                object_pairs_hook=lambda pairs: _object(path, pairs),
            )
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{path}: not JSON: {error}") from error
        return cls(path, "", value)

    def names(self) -> tuple[str, ...]:
        """Return the keys that nobody has taken yet, in the order of the file."""
        return tuple(self._left)

    def integer(self, name: str, *, minimum: int, maximum: int) -> int:
        """Take an integer in `minimum..maximum`, both inclusive."""
        value = self._take(name)
        if type(value) is not int or not minimum <= value <= maximum:
            self.refuse(name, f"not an integer in {minimum}..{maximum}")
        return value

    def text(self, name: str, *, maximum: int) -> str:
        """Take a printable string of 1..`maximum` characters."""
        value = self._take(name)
        if not isinstance(value, str) or not is_text(value, maximum=maximum):
            self.refuse(name, f"not a string of 1..{maximum} printable characters")
        return value

    def blob(self, name: str, *, length: int) -> bytes:
        """Take a byte string written as exactly `2 * length` lower-case hex digits."""
        value = self._take(name)
        decoded = decode_hex(value, length) if isinstance(value, str) else None
        if decoded is None:
            self.refuse(name, f"not {2 * length} lower-case hex digits")
        return decoded

    def nested(self, name: str) -> "JsonFields":
        """Take an object."""
        return JsonFields(self._file, self._path(name), self._take(name))

    def items(self, name: str) -> Iterator["JsonFields"]:
        """Take an array of objects."""
        value = self._take(name)
        if not isinstance(value, list):
            self.refuse(name, "not an array")
        for index, item in enumerate(value):
            yield JsonFields(self._file, f"{self._path(name)}[{index}]", item)

    def end(self) -> None:
        """Refuse a key that nobody took."""
        for name in self._left:
            self.refuse(name, "unknown key")

    def refuse(self, name: str, reason: str) -> NoReturn:
        """Raise the error that names file, key and reason."""
        path = self._path(name)
        raise ConfigError(f"{self._file}: {path}: {reason}" if path else f"{self._file}: {reason}")

    def _take(self, name: str) -> Any:
        if name not in self._left:
            self.refuse(name, "missing")
        return self._left.pop(name)

    def _path(self, name: str) -> str:
        return f"{self._key}.{name}" if self._key and name else self._key or name


def decode_hex(text: str, length: int) -> bytes | None:
    """Return the bytes of exactly `2 * length` lower-case hex digits; None for anything else."""
    if len(text) != 2 * length or not set(text) <= set("0123456789abcdef"):
        return None
    return bytes.fromhex(text)


def is_text(text: str, *, maximum: int) -> bool:
    """Tell whether a string has 1..`maximum` characters, all of which can be seen."""
    return 1 <= len(text) <= maximum and text.isprintable()


def _object(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"{path}: {twice}: stands twice")
    return fields
