"""Writing a settings file that explains itself: what is not set stands there as a comment."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from textwrap import wrap
from typing import Final

from node.config import SETTINGS, profile_values
from node.profiles import Profile
from node.settings import Kind, Setting, Value

COMMENT_COLUMNS: Final = 90


def settings_text(title: str, values: Mapping[str, Value]) -> str:
    """Return the content of a settings file.

    Args:
        title: First line, for people.
        values: What is set, by key. All other settings stand there with their defaults, commented
            out.
    """
    shown = {**_profile_values(values), **values}
    lines = [f"# {title}", "#", "# Each setting is also a variable and a flag: log.level is"]
    lines += ["# HEADWAY_LOG_LEVEL and --log-level. A flag wins over the variable, that over this"]
    lines += ["# file. Relative paths start from the folder of this file."]
    for table, members in groupby(SETTINGS, key=_table):
        lines += ["", f"[{table}]"] if table else []
        for setting in members:
            lines += ["", *_describe(setting), _assign(setting, values, shown)]
    return "\n".join(lines) + "\n"


def _profile_values(values: Mapping[str, Value]) -> Mapping[str, Value]:
    return profile_values(Profile(str(values.get("profile", Profile.FULL.value))))


def _table(setting: Setting) -> str:
    return setting.key.rpartition(".")[0]


def _describe(setting: Setting) -> Iterator[str]:
    text = setting.help
    if setting.choices:
        text += f" One of {', '.join(setting.choices)}."
    elif setting.minimum is not None and setting.maximum is not None:
        text += f" {setting.minimum:.12g} to {setting.maximum:.12g}."
    if setting.default is None and setting.kind is not Kind.TEXT:
        text += " Block live sync decides if this is not set."
    return (f"# {line}" for line in wrap(text, COMMENT_COLUMNS))


def _assign(setting: Setting, values: Mapping[str, Value], shown: Mapping[str, Value]) -> str:
    name = setting.key.rpartition(".")[2]
    if setting.key in values:
        return f"{name} = {_toml(values[setting.key])}"
    if setting.default is None:
        return f"#{name} = {_toml(_example(setting))}"
    return f"#{name} = {_toml(shown.get(setting.key, setting.default))}"


def _example(setting: Setting) -> Value:
    if setting.kind is Kind.TEXT:
        return f"86400:{64 * '0'}"
    return 10.0 if setting.kind is Kind.NUMBER else 600 if "max" in setting.key else 5


def _toml(value: Value | Sequence[str]) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            # A JSON string is a TOML string as long as it stays in ASCII escapes.
            return json.dumps(value)
        case int() | float():
            return str(value)
        case None:
            raise ValueError("a setting without a value cannot be written")
        case _:
            return "[" + ", ".join(json.dumps(item) for item in value) + "]"
