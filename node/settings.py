"""Settings in layers, and where each value came from.

A flag wins over the environment, over the file, over the profile, over the default.

A setting is declared once. Its key in a file (`log.level`), its variable (`HEADWAY_LOG_LEVEL`) and
its flag (`--log-level`) follow from that.
"""

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeAlias

from node.errors import ConfigError

Value: TypeAlias = str | int | float | bool | tuple[str, ...] | None
"""What a setting can hold. None is "not set", for settings that then follow from another."""

_WORDS: Final = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


class Kind(Enum):
    """What a value is."""

    TEXT = "text"
    PATH = "path"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    LIST = "list"
    """Of texts; separated by commas in the environment, repeated as a flag."""


class Layer(Enum):
    """Where a value can come from, the strongest first."""

    FLAG = "flag"
    ENVIRONMENT = "env"
    FILE = "file"
    PROFILE = "profile"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one value came from."""

    layer: Layer
    name: str = ""
    """The flag, the variable, the file or the profile; empty for a default."""

    def __str__(self) -> str:
        """Return it for people: `env HEADWAY_RPC`."""
        return f"{self.layer.value} {self.name}".rstrip()


@dataclass(frozen=True, slots=True)
class Effective:
    """A value that counts, and why."""

    value: Value
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One thing that an operator can set."""

    key: str
    """In files, a dot for each table: `log.level`."""
    kind: Kind
    help: str
    default: Value = None
    minimum: float | None = None
    """Inclusive, as is `maximum`. A setting with one has the other."""
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    """The words that are allowed; empty for any."""
    check: Callable[[str], str | None] | None = None
    """Says what is wrong with a text, or with one text of a list."""

    @property
    def flag(self) -> str:
        """The option of the command line."""
        return "--" + self.key.replace(".", "-").replace("_", "-")

    @property
    def variable(self) -> str:
        """The variable of the environment."""
        return "HEADWAY_" + self.key.replace(".", "_").upper()

    def read(self, value: Any) -> Value:
        """Take a value of a file or a flag.

        Raises:
            ValueError: It cannot be this setting's value; the text is the reason.
        """
        match self.kind:
            case Kind.BOOLEAN:
                truth: bool = _of_type(value, bool, "not true or false")
                return truth
            case Kind.INTEGER:
                reason = f"not an integer{self._range()}"
                return self._bounded(_of_type(value, int, reason), reason)
            case Kind.NUMBER:
                reason = f"not a number{self._range()}"
                number = value if type(value) is int else _of_type(value, float, reason)
                return self._bounded(number, reason)
            case Kind.LIST:
                return self._texts(value)
            case Kind.TEXT | Kind.PATH:
                return self._text(value)

    def read_text(self, text: str) -> Value:
        """Take a value of the environment.

        Raises:
            ValueError: It cannot be this setting's value; the text is the reason.
        """
        match self.kind:
            case Kind.BOOLEAN:
                return self.read(_WORDS.get(text.strip().lower()))
            case Kind.INTEGER:
                return self.read(_number(text, int))
            case Kind.NUMBER:
                return self.read(_number(text, float))
            case Kind.LIST:
                return self.read([part.strip() for part in text.split(",") if part.strip()])
            case Kind.TEXT | Kind.PATH:
                return self.read(text)

    def _text(self, value: Any) -> str:
        text: str = _of_type(value, str, "not a string")
        if not text or not text.isprintable():
            raise ValueError("empty, or with characters that cannot be printed")
        if self.choices and text not in self.choices:
            raise ValueError(f"not one of {', '.join(self.choices)}")
        if self.check is not None and (reason := self.check(text)):
            raise ValueError(reason)
        return text

    def _texts(self, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list | tuple):
            raise ValueError("not a list of strings")  # noqa: TRY004 - one kind of refusal
        return tuple(self._text(item) for item in value)

    def _bounded(self, number: float, reason: str) -> float:
        if self.minimum is not None and self.maximum is not None:
            # Written so that NaN fails too.
            within = self.minimum <= number <= self.maximum
            if not within:
                raise ValueError(reason)
        return number

    def _range(self) -> str:
        return "" if self.minimum is None else f" in {self.minimum:g}..{self.maximum:g}"


def resolve(
    settings: Sequence[Setting],
    *,
    flags: Mapping[str, Value],
    environment: Mapping[str, str],
    file: Path | None,
    base: Path,
) -> dict[str, Effective]:
    """Return the strongest value of each setting by key, below the profile's.

    Args:
        settings: All there are; anything else in the file is refused.
        flags: Values from the command line, by key, without those not given.
        environment: All variables; only those of settings are looked at.
        file: TOML, or None.
        base: Folder that relative default paths start from. Those of the file start from the
            file's own folder, those of flags and variables from the working folder.

    Raises:
        ConfigError: File, key and reason, in one line.
    """
    by_key = {setting.key: setting for setting in settings}
    found = {each.key: _default(each, base) for each in settings}
    if file is not None:
        for key, value in _flatten(_load(file)):
            if value == {} and any(known.startswith(f"{key}.") for known in by_key):
                continue
            found[key] = _from_file(file, by_key, key, value)
    for setting in settings:
        if (text := environment.get(setting.variable)) is not None:
            found[setting.key] = _from_environment(setting, text)
    for key, value in flags.items():
        found[key] = _from_flag(by_key[key], value)
    return found


def place_of(setting: Setting, origin: Origin) -> str:
    """Return where to mend a value, and under which name, as the start of an error line."""
    match origin.layer:
        case Layer.FLAG:
            return f"command line: {setting.flag}"
        case Layer.ENVIRONMENT:
            return f"environment: {setting.variable}"
        case Layer.FILE:
            return f"{origin.name}: {setting.key}"
        case Layer.PROFILE | Layer.DEFAULT:
            return f"{origin}: {setting.key}"


def _default(setting: Setting, base: Path) -> Effective:
    value = setting.default
    if setting.kind is Kind.PATH and isinstance(value, str):
        value = _absolute(base, value)
    return Effective(value, Origin(Layer.DEFAULT))


def _from_file(file: Path, by_key: Mapping[str, Setting], key: str, value: Any) -> Effective:
    setting = by_key.get(key)
    if setting is None:
        raise ConfigError(f"{file}: {key}: unknown setting{_suggestion(key, by_key)}")
    origin = Origin(Layer.FILE, str(file))
    read = _refusing(setting, origin, lambda: setting.read(value))
    return Effective(_located(setting, file.parent, read), origin)


def _from_environment(setting: Setting, text: str) -> Effective:
    origin = Origin(Layer.ENVIRONMENT, setting.variable)
    read = _refusing(setting, origin, lambda: setting.read_text(text))
    return Effective(_located(setting, Path.cwd(), read), origin)


def _from_flag(setting: Setting, value: Value) -> Effective:
    origin = Origin(Layer.FLAG, setting.flag)
    read = _refusing(setting, origin, lambda: setting.read(value))
    return Effective(_located(setting, Path.cwd(), read), origin)


def _refusing(setting: Setting, origin: Origin, read: Callable[[], Value]) -> Value:
    try:
        return read()
    except ValueError as error:
        raise ConfigError(f"{place_of(setting, origin)}: {error}") from error


def _located(setting: Setting, folder: Path, value: Value) -> Value:
    if setting.kind is Kind.PATH and isinstance(value, str):
        return _absolute(folder, value)
    return value


def _absolute(folder: Path, text: str) -> str:
    return str((folder.absolute() / Path(text).expanduser()).resolve())


def _load(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: not TOML: {error}") from error


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _suggestion(key: str, by_key: Mapping[str, Setting]) -> str:
    # Only an error needs it, and it costs every command's start.
    import difflib  # noqa: PLC0415

    close = difflib.get_close_matches(key, by_key, n=1)
    return f", did you mean {close[0]}?" if close else ""


def _of_type(value: Any, kind: type, reason: str) -> Any:
    # `type` and not `isinstance`: true is not a number here.
    if type(value) is not kind:
        raise ValueError(reason)
    return value


def _number(text: str, kind: Callable[[str], float]) -> float | str:
    """Return a number, or the text, which the reader then refuses with its reason."""
    try:
        return kind(text)
    except ValueError:
        return text
