"""Wire forms taken apart, to change one field."""

from typing import Any

import msgpack

from protocols.codec import pack


def unpacked(payload: bytes) -> list[Any]:
    """Return the fields of a wire form."""
    fields: list[Any] = msgpack.unpackb(payload)
    return fields


def with_field(payload: bytes, index: int, value: Any) -> bytes:
    """Return a wire form with one field replaced."""
    fields = unpacked(payload)
    fields[index] = value
    return pack(fields)
