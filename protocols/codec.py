"""One encoding per value: msgpack arrays in field order, read strictly.

`pack` writes the shortest form of every value. A reader takes fields one by one, checks kind,
width and range, and `FieldReader.unpack` re-encodes what it read: bytes that are a valid but
longer spelling of the same value (a wide integer, `str` where `bin` is due) are refused.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Self, TypeAlias, TypeVar, cast

import msgpack

from protocols.errors import WireError
from protocols.types import ADDRESS_BYTES, HASH_BYTES, Address, Hash32

Value: TypeAlias = "bytes | int | bool | str | list[Value] | tuple[Value, ...] | None"
"""What the wire can carry."""

MAX_ARRAY_ITEMS: Final = 65_536
"""Longest array of any message: limits what a decoder allocates before it looks at a field."""

T = TypeVar("T")


def pack(value: Value) -> bytes:
    """Encode a value in the one way that a strict reader accepts."""
    return cast("bytes", msgpack.packb(value, use_bin_type=True))


def small_packer() -> Callable[[Value], bytes]:
    """Return a `pack` for many small values: twice as fast. For one thread, and not to be kept.

    It reuses its buffer, which stays as large as the largest value was.
    """
    return cast("Callable[[Value], bytes]", msgpack.Packer(use_bin_type=True).pack)


def join_array(encodings: Sequence[bytes]) -> bytes:
    """Encode an array whose items are encoded already."""
    header = cast("bytes", msgpack.Packer().pack_array_header(len(encodings)))
    return header + b"".join(encodings)


def unpack(kind: str, payload: bytes) -> Any:
    """Decode one msgpack value; no maps with entries, no extensions, nothing after it.

    A 64-bit float or an empty map comes through, because to look for them would cost a walk over
    every value. No method of `FieldReader` but `raw` takes one.

    Args:
        kind: Name for the error.
        payload: Already capped by the frame that carried it.

    Raises:
        WireError: The bytes are not the canonical encoding of one value.
    """
    try:
        value = msgpack.unpackb(
            payload,
            raw=False,
            use_list=True,
            strict_map_key=True,
            max_array_len=MAX_ARRAY_ITEMS,
            max_map_len=0,
            max_ext_len=0,
            max_str_len=1024,
            max_bin_len=len(payload),
        )
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise WireError(kind, f"not msgpack: {error}") from error
    if pack(value) != payload:
        raise WireError(kind, "not the canonical encoding")
    return value


class FieldReader:
    """Takes the fields of one array in order and refuses whatever does not fit."""

    def __init__(self, kind: str, fields: list[Any]) -> None:
        self._kind = kind
        self._fields = fields
        self._next = 0

    @classmethod
    def unpack(cls, kind: str, payload: bytes, *, arity: int) -> Self:
        """Read a whole payload as one array of exactly `arity` fields.

        Raises:
            WireError: Not canonical msgpack, not an array, or another number of fields.
        """
        return cls.of(kind, unpack(kind, payload), arity=arity)

    @classmethod
    def of(cls, kind: str, value: Any, *, arity: int) -> Self:
        """Read an already decoded value as one array of exactly `arity` fields.

        Raises:
            WireError: Not an array, or another number of fields.
        """
        if not isinstance(value, list) or len(value) != arity:
            raise WireError(kind, f"not an array of {arity} fields")
        return cls(kind, value)

    def uint(self, *, maximum: int, minimum: int = 0) -> int:
        """Take an integer in `minimum..maximum`, both inclusive."""
        value = self._take()
        if type(value) is not int or not minimum <= value <= maximum:
            raise self._error(f"not an integer in {minimum}..{maximum}")
        return value

    def flag(self) -> bool:
        """Take a boolean."""
        value = self._take()
        if not isinstance(value, bool):
            raise self._error("not a boolean")
        return value

    def blob(self, *, maximum: int, minimum: int = 0) -> bytes:
        """Take a byte string of `minimum..maximum` bytes, both inclusive."""
        value = self._take()
        if not isinstance(value, bytes) or not minimum <= len(value) <= maximum:
            raise self._error(f"not {minimum}..{maximum} bytes")
        return value

    def exactly(self, length: int) -> bytes:
        """Take a byte string of exactly `length` bytes."""
        return self.blob(minimum=length, maximum=length)

    def optional_blob(self, *, maximum: int, minimum: int = 0) -> bytes | None:
        """Take a byte string of `minimum..maximum` bytes, or nil."""
        if self._fields[self._next] is None:
            self._next += 1
            return None
        return self.blob(minimum=minimum, maximum=maximum)

    def hash32(self) -> Hash32:
        """Take a 32-byte hash."""
        return Hash32(self.exactly(HASH_BYTES))

    def address(self) -> Address:
        """Take a 20-byte account address."""
        return Address(self.exactly(ADDRESS_BYTES))

    def text(self, *, maximum: int) -> str:
        """Take a string of at most `maximum` UTF-8 bytes."""
        value = self._take()
        if not isinstance(value, str) or len(value.encode()) > maximum:
            raise self._error(f"not a string of at most {maximum} bytes")
        return value

    def items(self, read: Callable[[Any], T], *, maximum: int, minimum: int = 0) -> tuple[T, ...]:
        """Take an array of `minimum..maximum` items, each read by `read`."""
        value = self._take()
        if not isinstance(value, list) or not minimum <= len(value) <= maximum:
            raise self._error(f"not an array of {minimum}..{maximum} items")
        return tuple(read(item) for item in value)

    def optional_items(
        self, read: Callable[[Any], T], *, maximum: int, minimum: int = 0
    ) -> tuple[T, ...] | None:
        """Take an array as `items` does, or nil."""
        if self._fields[self._next] is None:
            self._next += 1
            return None
        return self.items(read, minimum=minimum, maximum=maximum)

    def hashes(self, *, maximum: int, minimum: int = 0) -> tuple[Hash32, ...]:
        """Take an array of 32-byte hashes."""
        return self.items(self._hash_of, minimum=minimum, maximum=maximum)

    def raw(self) -> Any:
        """Take a field as it is, for a nested reader."""
        return self._take()

    def _hash_of(self, value: Any) -> Hash32:
        if not isinstance(value, bytes) or len(value) != HASH_BYTES:
            raise self._error("not a 32-byte hash")
        return Hash32(value)

    def _take(self) -> Any:
        value = self._fields[self._next]
        self._next += 1
        return value

    def _error(self, reason: str) -> WireError:
        return WireError(self._kind, f"field {self._next}: {reason}")
