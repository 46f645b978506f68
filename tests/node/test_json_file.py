from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import ConfigError
from node.json_file import JsonFields, decode_hex


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write_file(text: str) -> Path:
        path = tmp_path / "file.json"
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


Write = Callable[[str], Path]


def test_every_kind_of_field(write: Write) -> None:
    path = write(
        '{"number": 5, "name": "añ", "hash": "00ff", "inner": {"deep": 1}, "list": [{"a": 0}, {}]}'
    )
    fields = JsonFields.load(path)
    assert fields.names() == ("number", "name", "hash", "inner", "list")
    assert fields.integer("number", minimum=5, maximum=5) == 5
    assert fields.text("name", maximum=2) == "añ"
    assert fields.blob("hash", length=2) == b"\x00\xff"
    assert fields.nested("inner").integer("deep", minimum=0, maximum=1) == 1
    assert [item.names() for item in fields.items("list")] == [("a",), ()]
    fields.end()


Take = Callable[[JsonFields], object]

WRONG: list[tuple[str, Take, str]] = [
    ('{"a": 6}', lambda f: f.integer("a", minimum=0, maximum=5), "a: not an integer in 0..5"),
    ('{"a": -1}', lambda f: f.integer("a", minimum=0, maximum=5), "a: not an integer in 0..5"),
    ('{"a": 1.0}', lambda f: f.integer("a", minimum=0, maximum=5), "a: not an integer in 0..5"),
    ('{"a": true}', lambda f: f.integer("a", minimum=0, maximum=5), "a: not an integer in 0..5"),
    ('{"a": "1"}', lambda f: f.integer("a", minimum=0, maximum=5), "a: not an integer in 0..5"),
    ('{"a": NaN}', lambda f: f.integer("a", minimum=0, maximum=5), "a: not an integer in 0..5"),
    ("{}", lambda f: f.integer("a", minimum=0, maximum=5), "a: missing"),
    ('{"a": null}', lambda f: f.text("a", maximum=2), "a: not a string of 1..2 printable"),
    ('{"a": ""}', lambda f: f.text("a", maximum=2), "a: not a string of 1..2 printable"),
    ('{"a": "abc"}', lambda f: f.text("a", maximum=2), "a: not a string of 1..2 printable"),
    ('{"a": "\\n"}', lambda f: f.text("a", maximum=2), "a: not a string of 1..2 printable"),
    ('{"a": "0"}', lambda f: f.blob("a", length=1), "a: not 2 lower-case hex digits"),
    ('{"a": "0A"}', lambda f: f.blob("a", length=1), "a: not 2 lower-case hex digits"),
    ('{"a": " 0"}', lambda f: f.blob("a", length=1), "a: not 2 lower-case hex digits"),
    ('{"a": 10}', lambda f: f.blob("a", length=1), "a: not 2 lower-case hex digits"),
    ('{"a": []}', lambda f: f.nested("a"), "a: not an object"),
    ('{"a": {"b": 9}}', lambda f: f.nested("a").text("b", maximum=1), "a.b: not a string"),
    ('{"a": {"b": 9}}', lambda f: f.nested("a").end(), "a.b: unknown key"),
    ('{"a": {}}', lambda f: list(f.items("a")), "a: not an array"),
    ('{"a": [{}, 7]}', lambda f: list(f.items("a")), "a[1]: not an object"),
    ('{"a": [{"b": 1}]}', lambda f: next(f.items("a")).end(), "a[0].b: unknown key"),
    ('{"a": 1}', lambda f: f.end(), "a: unknown key"),
]


@pytest.mark.parametrize(("text", "take", "reason"), WRONG)
def test_one_wrong_field(write: Write, text: str, take: Take, reason: str) -> None:
    path = write(text)
    with pytest.raises(ConfigError) as caught:
        take(JsonFields.load(path))
    assert str(caught.value).startswith(f"{path}: {reason}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON: "),
        ("{", "not JSON: "),
        ("[]", "not an object"),
        ("7", "not an object"),
        ('{"a": 1, "b": 2, "a": 3}', "a: stands twice"),
        ('{"a": {"b": 2, "b": 3}}', "b: stands twice"),
        ("[" * 100_000, "not JSON: "),
        ("1" * 5000, "not JSON: "),
    ],
)
def test_a_file_that_is_no_object(write: Write, text: str, reason: str) -> None:
    path = write(text)
    with pytest.raises(ConfigError) as caught:
        JsonFields.load(path)
    assert str(caught.value).startswith(f"{path}: {reason}")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    missing = tmp_path / "missing.json"
    with pytest.raises(ConfigError, match=r"missing\.json: No such file"):
        JsonFields.load(missing)
    with pytest.raises(ConfigError, match="Is a directory"):
        JsonFields.load(tmp_path)
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"binary\.json: not JSON"):
        JsonFields.load(tmp_path / "binary.json")


@given(st.binary(max_size=40))
def test_hex_has_one_spelling(content: bytes) -> None:
    assert decode_hex(content.hex(), len(content)) == content
    assert decode_hex(content.hex(), len(content) + 1) is None
    upper = content.hex().upper()
    assert (decode_hex(upper, len(content)) is None) is (upper != content.hex())
