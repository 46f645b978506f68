"""Lengths of time as operators write them."""

from typing import Final

from node.errors import ConfigError

_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """Read `500ms`, `10s`, `2m` or `1h` as seconds; a number without a unit is seconds.

    Raises:
        ConfigError: It is none of these.
    """
    number, factor = text, 1.0
    for unit, seconds in _UNITS_S.items():
        if text.endswith(unit):
            number, factor = text.removesuffix(unit), seconds
            break
    if not number.replace(".", "", 1).isdecimal():
        raise ConfigError(f"{text!r} is not a duration such as 500ms, 10s or 2m")
    return float(number) * factor
