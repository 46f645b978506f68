"""Reading the parameters of a call, by name or by position."""

from collections.abc import Sequence
from typing import Any, Final

from node.rpc.json_rpc import INVALID_PARAMS, CallError, Params

_REQUIRED: Final = object()


class ParamReader:
    """Takes the parameters of one call by name.

    Args:
        names: All parameters of the method, in the order of their positions.
        params: What the caller gave.

    Raises:
        CallError: From every method: a parameter is missing, unknown or of the wrong kind.
    """

    def __init__(self, names: Sequence[str], params: Params) -> None:
        if isinstance(params, list):
            if len(params) > len(names):
                raise CallError(INVALID_PARAMS, f"at most {len(names)} parameters")
            params = dict(zip(names, params, strict=False))
        unknown = sorted(params.keys() - set(names))
        if unknown:
            raise CallError(INVALID_PARAMS, f"unknown parameter {unknown[0]!r}")
        self._params = params

    def uint(self, name: str, *, maximum: int, default: int | None = None) -> int:
        """Take an integer in 0..`maximum`, inclusive."""
        value = self._take(name, default)
        if type(value) is not int or not 0 <= value <= maximum:
            raise CallError(INVALID_PARAMS, f"{name}: not an integer in 0..{maximum}")
        return value

    def number(self, name: str, *, maximum: float, default: float | None = None) -> float:
        """Take a number in 0..`maximum`, inclusive."""
        value = self._take(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise CallError(INVALID_PARAMS, f"{name}: not a number")
        if not 0 <= value <= maximum:
            raise CallError(INVALID_PARAMS, f"{name}: not in 0..{maximum:g}")
        return float(value)

    def flag(self, name: str, *, default: bool) -> bool:
        """Take a boolean."""
        value = self._take(name, default)
        if not isinstance(value, bool):
            raise CallError(INVALID_PARAMS, f"{name}: not a boolean")
        return value

    def text(self, name: str, *, maximum: int) -> str:
        """Take a string of at most `maximum` characters."""
        value = self._take(name, None)
        if not isinstance(value, str) or len(value) > maximum:
            raise CallError(INVALID_PARAMS, f"{name}: not a string of at most {maximum} characters")
        return value

    def blob(self, name: str, *, maximum: int, minimum: int = 0) -> bytes:
        """Take hex digits for `minimum..maximum` bytes."""
        text = self._take(name, None)
        try:
            value = bytes.fromhex(text) if isinstance(text, str) else None
        except ValueError:
            value = None
        if value is None or not minimum <= len(value) <= maximum:
            raise CallError(INVALID_PARAMS, f"{name}: not hex digits of {minimum}..{maximum} bytes")
        return value

    def exactly(self, name: str, length: int) -> bytes:
        """Take hex digits for exactly `length` bytes."""
        return self.blob(name, minimum=length, maximum=length)

    def _take(self, name: str, default: Any) -> Any:
        value = self._params.get(name, _REQUIRED if default is None else default)
        if value is _REQUIRED:
            raise CallError(INVALID_PARAMS, f"{name}: missing")
        return value
