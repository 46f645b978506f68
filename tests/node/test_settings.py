"""Settings in layers."""

from pathlib import Path
from typing import Any

import pytest

from node.errors import ConfigError
from node.settings import Effective, Kind, Layer, Origin, Setting, Value, place_of, resolve

RPC = Setting(key="rpc", kind=Kind.TEXT, default="a", help="")
FORMAT = Setting(
    key="log.format", kind=Kind.TEXT, default="text", choices=("text", "json"), help=""
)
PEERS = Setting(key="max_peers", kind=Kind.INTEGER, default=5, minimum=1, maximum=9, help="")
WAIT = Setting(key="wait_s", kind=Kind.NUMBER, default=1.0, minimum=0, maximum=60, help="")
VALIDATOR = Setting(key="validator", kind=Kind.BOOLEAN, default=False, help="")
SEEDS = Setting(
    key="seeds",
    kind=Kind.LIST,
    default=(),
    check=lambda text: "not s..." if text[0] != "s" else None,
    help="",
)
DATA = Setting(key="data_dir", kind=Kind.PATH, default="data", help="")
ALL = (RPC, FORMAT, PEERS, WAIT, VALIDATOR, SEEDS, DATA)


def _resolve(
    folder: Path,
    content: str | None = None,
    flags: dict[str, Value] | None = None,
    environment: dict[str, str] | None = None,
) -> dict[str, Effective]:
    file = None
    if content is not None:
        file = folder / "config.toml"
        file.write_text(content, encoding="utf-8")
    return resolve(
        ALL, flags=flags or {}, environment=environment or {}, file=file, base=Path("/base")
    )


def test_the_strongest_layer_wins(tmp_path: Path) -> None:
    file = str(tmp_path / "config.toml")
    variable = {"HEADWAY_RPC": "of the environment"}
    content = 'rpc = "of the file"'
    assert _resolve(tmp_path)["rpc"] == Effective("a", Origin(Layer.DEFAULT))
    assert _resolve(tmp_path, content)["rpc"] == Effective("of the file", Origin(Layer.FILE, file))
    assert _resolve(tmp_path, content, None, variable)["rpc"] == Effective(
        "of the environment", Origin(Layer.ENVIRONMENT, "HEADWAY_RPC")
    )
    assert _resolve(tmp_path, content, {"rpc": "of the flag"}, variable)["rpc"] == Effective(
        "of the flag", Origin(Layer.FLAG, "--rpc")
    )


def test_names_follow_from_the_key() -> None:
    assert (FORMAT.flag, FORMAT.variable) == ("--log-format", "HEADWAY_LOG_FORMAT")
    assert (DATA.flag, DATA.variable) == ("--data-dir", "HEADWAY_DATA_DIR")


def test_paths_start_where_they_are_written(tmp_path: Path) -> None:
    assert _resolve(tmp_path)["data_dir"].value == "/base/data"
    assert _resolve(tmp_path, 'data_dir = "x"')["data_dir"].value == str(tmp_path / "x")
    assert _resolve(tmp_path, flags={"data_dir": "x"})["data_dir"].value == str(Path.cwd() / "x")
    in_variable = _resolve(tmp_path, environment={"HEADWAY_DATA_DIR": "../x"})
    assert in_variable["data_dir"].value == str(Path.cwd().parent / "x")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("HEADWAY_MAX_PEERS=1", 1),
        ("HEADWAY_MAX_PEERS=9", 9),
        ("HEADWAY_WAIT_S=2", 2.0),
        ("HEADWAY_WAIT_S=0.5", 0.5),
        ("HEADWAY_VALIDATOR=YES", True),
        ("HEADWAY_VALIDATOR=0", False),
        ("HEADWAY_SEEDS=s1, s2 ,", ("s1", "s2")),
        ("HEADWAY_SEEDS=", ()),
        ("HEADWAY_LOG_FORMAT=json", "json"),
    ],
)
def test_variables_are_texts(text: str, value: Value, tmp_path: Path) -> None:
    name, _, content = text.partition("=")
    found = _resolve(tmp_path, environment={name: content})
    setting = next(each for each in ALL if each.variable == name)
    assert found[setting.key].value == value


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("rcp = 'x'", "rcp: unknown setting, did you mean rpc?"),
        ("[log]\nxyz = 1", "log.xyz: unknown setting"),
        ("[log]\nformatt = 1", "log.formatt: unknown setting, did you mean log.format?"),
        ("[logs]", "logs: unknown setting"),
        ("log = 1", "log: unknown setting"),
        ("rpc = 1", "rpc: not a string"),
        ("rpc = ''", "rpc: empty, or with characters that cannot be printed"),
        ('rpc = "a\\nb"', "rpc: empty, or with characters that cannot be printed"),
        ("max_peers = '3'", "max_peers: not an integer in 1..9"),
        ("max_peers = true", "max_peers: not an integer in 1..9"),
        ("max_peers = 10", "max_peers: not an integer in 1..9"),
        ("max_peers = 0", "max_peers: not an integer in 1..9"),
        ("max_peers = 3.0", "max_peers: not an integer in 1..9"),
        ("wait_s = 60.1", "wait_s: not a number in 0..60"),
        ("wait_s = nan", "wait_s: not a number in 0..60"),
        ("validator = 1", "validator: not true or false"),
        ("seeds = 's'", "seeds: not a list of strings"),
        ("seeds = ['s', 1]", "seeds: not a string"),
        ("seeds = ['s', 't']", "seeds: not s..."),
        ("[log]\nformat = 'xml'", "log.format: not one of text, json"),
    ],
)
def test_a_bad_file_is_one_line_with_file_key_and_reason(
    content: str, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        _resolve(tmp_path, content)
    assert str(caught.value) == f"{tmp_path / 'config.toml'}: {reason}"


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"HEADWAY_MAX_PEERS": "many"}, "HEADWAY_MAX_PEERS: not an integer in 1..9"),
        ({"HEADWAY_WAIT_S": "nan"}, "HEADWAY_WAIT_S: not a number in 0..60"),
        ({"HEADWAY_WAIT_S": "x"}, "HEADWAY_WAIT_S: not a number in 0..60"),
        ({"HEADWAY_VALIDATOR": "maybe"}, "HEADWAY_VALIDATOR: not true or false"),
        ({"HEADWAY_SEEDS": "s,t"}, "HEADWAY_SEEDS: not s..."),
    ],
)
def test_a_bad_variable(environment: dict[str, str], reason: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        _resolve(tmp_path, environment=environment)
    assert str(caught.value) == f"environment: {reason}"


def test_a_bad_flag(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^command line: --log-format: not one of text, json$"):
        _resolve(tmp_path, flags={"log.format": "xml"})


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.toml: not TOML: Cannot overwrite"):
        _resolve(tmp_path, "rpc = 'a'\nrpc = 'b'")
    missing = tmp_path / "none.toml"
    with pytest.raises(ConfigError) as caught:
        resolve(ALL, flags={}, environment={}, file=missing, base=tmp_path)
    assert str(caught.value) == f"{missing}: No such file or directory"
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not TOML"):
        resolve(ALL, flags={}, environment={}, file=binary, base=tmp_path)


def test_an_empty_table_is_no_mistake(tmp_path: Path) -> None:
    assert _resolve(tmp_path, "[log]") == _resolve(tmp_path)


@pytest.mark.parametrize(
    ("origin", "place"),
    [
        (Origin(Layer.FLAG, "--log-format"), "command line: --log-format"),
        (Origin(Layer.ENVIRONMENT, "HEADWAY_LOG_FORMAT"), "environment: HEADWAY_LOG_FORMAT"),
        (Origin(Layer.FILE, "/x.toml"), "/x.toml: log.format"),
        (Origin(Layer.PROFILE, "light"), "profile light: log.format"),
        (Origin(Layer.DEFAULT), "default: log.format"),
    ],
)
def test_where_to_mend(origin: Origin, place: Any) -> None:
    assert place_of(FORMAT, origin) == place
