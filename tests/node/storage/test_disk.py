import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

from node.errors import DataFolderError, StorageError
from node.storage.disk import DATA_FILE, FORMAT_KEY, FORMAT_VERSION, LOCK_FILE, DiskStore
from node.storage.lmdb_file import check_data_file
from node.storage.store import Table, Writer

KILLS = 4
"""Each costs a start of Python."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def fill(folder: Path, count: int = 3000) -> None:
    """Make a store with branch pages, leaves and overflow pages, in several commits."""
    store = DiskStore(folder)
    for start in range(0, count, 500):
        with store.write(durable=False) as writer:
            for number in range(start, min(start + 500, count)):
                writer.put(Table.ACCOUNTS, number.to_bytes(20, "big"), b"value %d" % number)
                if number % 10 == 0:
                    writer.put(Table.BODIES, number.to_bytes(4, "big"), bytes(9000))
    store.close()


def run_in_child(code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_everything_is_there_after_reopening(folder: Path) -> None:
    fill(folder, 30)
    store = DiskStore(folder)
    with store.read() as reader:
        found = list(reader.scan(Table.ACCOUNTS))
        body = reader.get(Table.BODIES, (20).to_bytes(4, "big"))
    store.close()
    assert found == [(n.to_bytes(20, "big"), b"value %d" % n) for n in range(30)]
    assert body == bytes(9000)


def test_the_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    DiskStore(tmp_path / "a" / "b").close()
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == [
        "data.mdb",
        "lock",
        "lock.mdb",
    ]


def test_a_folder_in_use_names_the_process(folder: Path) -> None:
    store = DiskStore(folder)
    with pytest.raises(DataFolderError) as raised:
        DiskStore(folder)
    assert str(raised.value) == f"{folder} is in use by process {os.getpid()}"
    store.close()
    DiskStore(folder).close()


def test_a_folder_in_use_by_another_process_is_refused(folder: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom node.storage.disk import DiskStore\n"
        "store = DiskStore(Path(sys.argv[1]))\nprint('open', flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"open\n"
        with pytest.raises(DataFolderError, match=f"is in use by process {child.pid}$"):
            DiskStore(folder)
        child.kill()
    DiskStore(folder).close()


def test_a_folder_that_cannot_be_made_is_the_operators(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataFolderError) as raised:
        DiskStore(tmp_path / "file" / "data")
    assert str(raised.value) == f"{tmp_path / 'file' / 'data'}: Not a directory"


def test_a_folder_in_the_place_of_the_data_file_is_the_operators(folder: Path) -> None:
    (folder / DATA_FILE).mkdir(parents=True)
    with pytest.raises(DataFolderError) as raised:
        DiskStore(folder)
    assert str(raised.value) == f"{folder / DATA_FILE}: Is a directory"


def test_more_address_space_than_there_is_cannot_be_opened(folder: Path) -> None:
    DiskStore(folder).close()
    with pytest.raises(DataFolderError, match=r"cannot be opened: .*Cannot allocate memory"):
        DiskStore(folder, map_size=2**60)
    DiskStore(folder).close()


LOCK_ON_FULL_DISK = """
import resource, sys
from pathlib import Path
from node.errors import DataFolderError
from node.storage.disk import DiskStore

resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
try:
    DiskStore(Path(sys.argv[1]))
except DataFolderError as error:
    print(error)
"""


def test_a_disk_too_full_for_the_lock_is_the_operators(folder: Path) -> None:
    done = run_in_child(LOCK_ON_FULL_DISK, str(folder))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{folder}: File too large\n", "")


def test_another_format_version_is_refused_and_left_alone(folder: Path) -> None:
    store = DiskStore(folder)
    with store.write() as writer:
        writer.put(Table.META, FORMAT_KEY, b"%d" % (FORMAT_VERSION + 1))
    store.close()
    before = (folder / DATA_FILE).read_bytes()
    with pytest.raises(DataFolderError) as raised:
        DiskStore(folder)
    expected = f"format version {FORMAT_VERSION + 1}, this node needs {FORMAT_VERSION}"
    assert str(raised.value) == f"{folder} has data of {expected}"
    assert (folder / DATA_FILE).read_bytes() == before


def test_a_database_of_another_program_is_refused(folder: Path) -> None:
    folder.mkdir()
    environment = lmdb.open(str(folder), max_dbs=4)
    with environment.begin(write=True) as transaction:
        transaction.put(b"key", b"value", db=environment.open_db(b"theirs", transaction))
    environment.close()
    before = (folder / DATA_FILE).read_bytes()
    with pytest.raises(DataFolderError, match="format version none"):
        DiskStore(folder)
    assert (folder / DATA_FILE).read_bytes() == before


def test_a_creation_that_was_killed_is_begun_again(folder: Path) -> None:
    (folder / "new").mkdir(parents=True)
    (folder / "new" / DATA_FILE).write_bytes(b"half")
    DiskStore(folder).close()
    assert not (folder / "new").exists()


def overwrite(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


DAMAGE: dict[str, Callable[[Path], None]] = {
    "nothing left": lambda path: os.truncate(path, 0),
    "ten bytes": lambda path: os.truncate(path, 10),
    "no second meta page": lambda path: os.truncate(path, 4096),
    "meta pages only": lambda path: os.truncate(path, 8192),
    "half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "last page": lambda path: os.truncate(path, path.stat().st_size - 4096),
    "first bytes overwritten": lambda path: overwrite(path, 0, b"\xa5" * 200),
    "second meta page overwritten": lambda path: overwrite(path, 4096, b"\xa5" * 200),
    "text": lambda path: overwrite(path, 0, b"not a database\n" * 5000),
    "everything behind the meta pages overwritten": lambda path: overwrite(
        path, 8192, b"\xa5" * (path.stat().st_size - 8192)
    ),
    "zeros": lambda path: overwrite(path, 8192, bytes(path.stat().st_size - 8192)),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_is_one_clear_line(folder: Path, name: str) -> None:
    fill(folder)
    DAMAGE[name](folder / DATA_FILE)
    with pytest.raises(DataFolderError) as raised:
        DiskStore(folder)
    message = str(raised.value)
    assert message.startswith(f"{folder / DATA_FILE} is damaged: ")
    assert "\n" not in message


def test_a_damaged_folder_is_released(folder: Path) -> None:
    fill(folder, 10)
    whole = (folder / DATA_FILE).read_bytes()
    os.truncate(folder / DATA_FILE, 10)
    with pytest.raises(DataFolderError):
        DiskStore(folder)
    (folder / DATA_FILE).write_bytes(whole)
    DiskStore(folder).close()


def test_a_damaged_table_of_readers_is_made_anew(folder: Path) -> None:
    fill(folder, 10)
    for content in (b"", b"\xa5" * 100, b"\xa5" * 100_000):
        (folder / "lock.mdb").write_bytes(content)
        DiskStore(folder).close()


GARBAGE = """
import random, shutil, sys
from pathlib import Path
from node.errors import DataFolderError, StorageError
from node.storage.disk import DiskStore
from node.storage.lmdb_file import check_data_file
from node.storage.store import Table, Writer

whole, folder = Path(sys.argv[1]), Path(sys.argv[2])
found = {"refused": 0, "failed": 0, "unseen": 0}
for seed in range(40):
    rng = random.Random(seed)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    path = folder / "data.mdb"
    size = path.stat().st_size
    with path.open("r+b") as file:
        if seed % 4 == 0:
            file.truncate(rng.randrange(size))
        else:
            file.seek(rng.randrange(size))
            file.write(rng.randbytes((16, 500, 20_000)[seed % 4 - 1]))
    try:
        store = DiskStore(folder)
    except DataFolderError:
        found["refused"] += 1
        continue
    try:
        with store.read() as reader:
            for table in Table:
                for _ in reader.scan(table):
                    pass
        with store.write() as writer:
            for number in range(200):
                writer.put(Table.ACCOUNTS, b"%020d" % number, bytes(50))
                writer.get(Table.ACCOUNTS, (15 * number).to_bytes(20, "big"))
            writer.replace_run(bytes(20), (1000).to_bytes(20, "big"), b"")
        store.close()
        found["unseen"] += 1
    except StorageError:
        found["failed"] += 1
        store.close()
print(found["refused"] > 10)
"""


def test_no_damage_ends_the_process(folder: Path, tmp_path: Path) -> None:
    """Garbage of three sizes and cuts, anywhere: an error with a name or nothing, no signal."""
    fill(folder)
    done = run_in_child(GARBAGE, str(folder), str(tmp_path / "damaged"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_a_full_map_is_a_storage_error_and_undoes_the_write(folder: Path) -> None:
    store = DiskStore(folder, map_size=1_000_000)
    with store.write() as writer:
        writer.put(Table.META, b"before", b"value")

    def fill_up() -> None:
        with store.write() as writer:
            for number in range(1000):
                writer.put(Table.BODIES, b"%d" % number, bytes(4000))

    with pytest.raises(StorageError, match="MDB_MAP_FULL"):
        fill_up()
    with store.read() as reader:
        assert reader.get(Table.META, b"before") == b"value"
        assert list(reader.scan(Table.BODIES)) == []
    with store.write() as writer:
        writer.put(Table.META, b"after", b"value")
    store.close()


FULL_DISK = """
import resource, sys
from pathlib import Path
from node.errors import StorageError
from node.storage.disk import DiskStore
from node.storage.lmdb_file import check_data_file
from node.storage.store import Table, Writer

store = DiskStore(Path(sys.argv[1]))
with store.write() as writer:
    writer.put(Table.META, b"before", b"value")
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
try:
    with store.write() as writer:
        for number in range(1000):
            writer.put(Table.BODIES, b"%d" % number, bytes(4000))
except StorageError as error:
    print(type(error).__name__)
"""


def test_a_disk_that_takes_no_more_is_a_storage_error(folder: Path) -> None:
    done = run_in_child(FULL_DISK, str(folder))
    assert (done.returncode, done.stdout, done.stderr) == (0, "StorageError\n", "")
    store = DiskStore(folder)
    with store.read() as reader:
        assert reader.get(Table.META, b"before") == b"value"
        assert list(reader.scan(Table.BODIES)) == []
    store.close()


WRITING = """
import sys
from pathlib import Path
from node.storage.disk import DiskStore
from node.storage.lmdb_file import check_data_file
from node.storage.store import Table, Writer

store = DiskStore(Path(sys.argv[1]))
number = int(sys.argv[2])
while True:
    with store.write(durable=number % 2 == 0) as writer:
        for part in range(20):
            writer.put(Table.UNDO, b"%d/%d" % (number % 50, part), b"%d" % number)
        writer.put(Table.META, b"number", b"%d" % number)
    print(number, flush=True)
    number += 1
"""


def test_a_killed_writer_keeps_what_it_committed_and_nothing_by_halves(folder: Path) -> None:
    last = 0
    for turn in range(KILLS):
        told = write_until_killed(folder, first=last + 1, lines=10 + 7 * turn)
        store = DiskStore(folder)
        with store.read() as reader:
            last = int(reader.get(Table.META, b"number") or b"")
            values = dict(reader.scan(Table.UNDO))
        store.close()
        assert last >= told
        newest = {number % 50: number for number in range(1, last + 1)}
        assert values == {
            b"%d/%d" % (group, part): b"%d" % number
            for group, number in newest.items()
            for part in range(20)
        }


def write_until_killed(folder: Path, *, first: int, lines: int) -> int:
    """Kill a writing process after some commits; return the last one that it told of."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITING, str(folder), str(first)], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        told = [int(child.stdout.readline()) for _ in range(lines)]
        child.kill()
        told += [int(line) for line in child.stdout.read().splitlines(keepends=True)]
        assert child.wait() == -signal.SIGKILL
    return told[-1]


def test_the_lock_file_is_left_behind_and_does_not_matter(folder: Path) -> None:
    DiskStore(folder).close()
    (folder / LOCK_FILE).write_text("1\n")
    DiskStore(folder).close()


def test_the_map_may_be_larger_than_memory_and_costs_none_of_it(folder: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    store = DiskStore(folder)
    with store.write() as writer:
        writer.put(Table.META, b"key", b"value")
    store.close()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


@pytest.mark.parametrize("seed", range(3))
def test_a_sound_file_is_never_refused(folder: Path, seed: int) -> None:
    """Growing, shrinking, long and short values, freed and used again, and a snapshot held open."""
    rng = random.Random(seed)
    store = DiskStore(folder)
    with store.read() as held:
        for step in range(60):
            with store.write(durable=False) as writer:
                change_at_random(writer, rng, grows=step % 20 < 10)
            check_data_file(folder / DATA_FILE)
        assert list(held.scan(Table.BODIES)) == []
    store.close()
    DiskStore(folder).close()


def change_at_random(writer: Writer, rng: random.Random, *, grows: bool) -> None:
    for _ in range(rng.randrange(60)):
        table = rng.choice([Table.ACCOUNTS, Table.BODIES, Table.UNDO])
        key = b"%020d" % rng.randrange(400)
        if rng.random() < (0.8 if grows else 0.1):
            writer.put(table, key, bytes(rng.choice([1, 9, 600, 3000, 9000, 50_000])))
        else:
            writer.delete(table, key)
