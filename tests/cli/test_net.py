"""`headway net` without daemons: what is mistyped, what is not there, what is written."""

import json
import os
from pathlib import Path

import pytest
from click.testing import Result

from cli.net_output import whole_lines
from cli.target import Target
from node.process import ProcessRecord, own_start_time
from node.testnet.layout import Description, NetworkFolder
from tests.cli.running import invoke

EXAMPLES = Path(__file__).resolve().parents[2] / "configs" / "networks"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "networks"


def net(home: Path, *arguments: str) -> Result:
    return invoke("net", *arguments, environment={"HEADWAY_NETWORKS": str(home)})


def dry(home: Path, *arguments: str) -> NetworkFolder:
    """Write a network's files and start nothing."""
    done = net(home, "up", "--dry-run", *arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    return NetworkFolder(Path(done.stdout.rstrip("\n")))


def test_a_network_of_another_version_can_still_be_removed(home: Path) -> None:
    folder = dry(home, "-n", "2")
    content = json.loads(folder.description.read_text(encoding="utf-8"))
    content["spec"]["nodes"][0]["colour"] = "red"
    folder.description.write_text(json.dumps(content), encoding="utf-8")
    refused = net(home, "status")
    assert refused.exit_code == 3
    assert "'headway net down --purge' removes" in refused.stderr
    assert net(home, "down", "--purge").exit_code == 0
    assert not folder.path.exists()


def test_one_late_node_needs_no_count(home: Path) -> None:
    nodes = Description.load(dry(home, "-n", "2", "--late", "pico@20")).spec.nodes
    assert [(node.name, node.start_at) for node in nodes[2:]] == [("pico-1", 20)]


def test_a_node_sends_with_its_own_keys(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_NETWORKS", str(home))
    folder = dry(home, "-n", "2")
    target = Target(rpc=None, data_dir=None, node="n2", config_file=None)
    assert target.key_file() == folder.node("full-2").keys


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--mix", "archive=1"], "'--mix': mix: unknown profile 'archive'"),
        (["--mix", "full"], "'--mix': mix: 'full' is not of the form full=COUNT"),
        (["--mix", "full=1,full=1"], "'--mix': mix: full is given twice"),
        (["--mix", "light=2"], "no node can validate: give the network a history or full node"),
        (["-n", "3", "--mix", "full=2"], "mix has 2 nodes, but 3 are asked for"),
        (["-n", "0"], "'-n' / '--nodes': 0 is not in the range"),
        (["-n", "4", "--validators", "5"], "5 validators need as many history or full nodes"),
        (["--name", "../up"], "network name '../up'"),
        (["--name", ""], "network name ''"),
        (["--wait", "hoehe >= 3"], "'--wait': condition 'hoehe >= 3': unknown field 'hoehe'"),
        (["--wait", ""], "'--wait': condition '': it ends too early"),
        (["--block-time", "soon"], "'--block-time': 'soon' is not a duration"),
        (["--block-time", "1ms"], "block time must be 10ms..5m"),
        (["--timeout", "-1s"], "'--timeout': '-1s' is not a duration"),
        (["--load", "fast"], "'--load': 'fast' is not a load such as 50tps"),
        (["--load", "99999"], "load must be 0..10000 tps"),
        (["--accounts", "0"], "'--accounts': 0 is not in the range"),
        (["--accounts", "99999999"], "'--accounts': 99999999 is not in the range"),
        (["--topology", "tree"], "'--topology': 'tree' is not one of"),
        (["--batch-length", "1"], "'--batch-length': 1 is not in the range"),
        (["--seed", "x"], "'--seed': 'x' is not a valid integer"),
        (["--late", "pica@200"], "'--late': mix: unknown profile 'pica'"),
        (["--late", "pico=1"], "'--late': 'pico=1' is not of the form pico=2@200"),
        (["--late", "pico=1@0"], "'--late': 'pico=1@0' is not of the form pico=2@200"),
        (["--late", "pico=1,full=1@9"], "one profile and its count, as pico=2@200"),
        (["nowhere.toml"], "'nowhere.toml' does not exist"),
    ],
    ids=" ".join,
)
def test_a_mistyped_network_is_a_usage_error(home: Path, options: list[str], reason: str) -> None:
    done = net(home, "up", "--dry-run", *options)
    assert (done.exit_code, done.stdout) == (2, "")
    # Where click shows how the command is called, the reason comes last.
    assert reason in done.stderr.splitlines()[-1]
    assert not home.exists()


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["wait", "height >= 1"], ["logs"], ["stop"], ["start"], ["down", "--purge"]],
    ids=" ".join,
)
@pytest.mark.parametrize("name", [None, "nowhere"])
def test_a_network_that_is_not_there_is_6(
    home: Path, arguments: list[str], name: str | None
) -> None:
    done = net(home, *arguments, *([] if name is None else ["--name", name]))
    assert (done.exit_code, done.stdout) == (6, "")
    (line,) = done.stderr.splitlines()
    if name is None:
        assert line == f"headway: there is no network in {home}: 'headway net up' makes one"
    else:
        assert line == "headway: there is no network 'nowhere'"


def test_a_name_cannot_lead_out_of_the_folder(home: Path, tmp_path: Path) -> None:
    dry(tmp_path, "--name", "outside")
    home.mkdir()
    done = net(home, "status", "--name", "../outside")
    assert done.exit_code == 6


@pytest.mark.parametrize(
    ("command", "selector", "code"),
    [
        ("status", "full-9", 6),
        ("stop", "n99", 6),
        ("start", "profile=archive", 6),
        ("logs", "light", 6),
        ("status", "@random:99", 2),
        ("stop", "color=red", 2),
    ],
)
def test_a_node_that_is_not_there(home: Path, command: str, selector: str, code: int) -> None:
    dry(home)
    done = net(home, command, selector)
    assert (done.exit_code, done.stdout) == (code, "")
    (line,) = done.stderr.splitlines()
    assert selector in line


def test_many_accounts_for_a_network(home: Path) -> None:
    folder = dry(home, "--mix", "full=1", "--accounts", "5000", "--load", "5tps")
    assert Description.load(folder).spec.accounts == 5000
    assert (folder.path / "accounts.bin").stat().st_size == 5000 * 31


def test_late_nodes_come_last_and_wait(home: Path) -> None:
    folder = dry(home, "--mix", "full=1", "--late", "full=1@50", "--late", "pico=2@20")
    spec = Description.load(folder).spec
    assert [(node.name, node.start_at, node.is_validator) for node in spec.nodes] == [
        ("full-1", 0, True),
        ("pico-1", 20, False),
        ("pico-2", 20, False),
        ("full-2", 50, False),
    ]
    rows = [line.split() for line in net(home, "status").stdout.splitlines()[1:-1]]
    assert [row[2] for row in rows] == ["stopped", "waiting", "waiting", "waiting"]


def test_a_file_describes_a_network_and_options_count_more(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "network.toml"
    file.write_text(
        'name = "written"\nseed = 5\nblock_time = "250ms"\nload = "3tps"\n'
        '[[nodes]]\nprofile = "full"\ncount = 2\n'
        '[[nodes]]\nprofile = "light"\nstart_at = 9\n'
    )
    spec = Description.load(dry(home, str(file), "--seed", "6")).spec
    assert (spec.name, spec.seed, spec.block_time_ms, spec.load_tps) == ("written", 6, 250, 3)
    assert [(node.name, node.start_at) for node in spec.nodes] == [
        ("full-1", 0),
        ("full-2", 0),
        ("light-1", 9),
    ]
    other = Description.load(dry(home, str(file), "--name", "other", "--mix", "full=1")).spec
    assert [node.name for node in other.nodes] == ["full-1", "light-1"]


def test_the_example_networks_can_be_made(home: Path) -> None:
    for file in sorted(EXAMPLES.glob("*.toml")):
        folder = dry(home, str(file))
        assert Description.load(folder).spec.name == file.stem


def test_a_file_that_makes_no_sense_is_3(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "network.toml"
    file.write_text("sed = 7\n")
    done = net(home, "up", str(file))
    assert done.exit_code == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"headway: {file}: sed: unknown: one of name, seed, ")


def test_adding_needs_a_network_and_a_profile(home: Path) -> None:
    assert net(home, "add", "--profile", "pico").exit_code == 6
    dry(home)
    done = net(home, "add")
    assert done.exit_code == 2
    assert "--profile" in done.stderr
    done = net(home, "add", "--profile", "archive")
    assert done.exit_code == 2


def test_waiting_says_what_is_mistyped(home: Path) -> None:
    dry(home)
    done = net(home, "wait", "height >= three")
    assert done.exit_code == 2
    assert "height needs a whole number" in done.stderr.splitlines()[-1]


def test_with_several_networks_one_must_be_named(home: Path) -> None:
    for name in ("a", "b"):
        dry(home, "--name", name)
    done = net(home, "status")
    assert (done.exit_code, done.stderr) == (
        2,
        "headway: several networks: choose with --name: a, b\n",
    )
    assert net(home, "status", "--name", "b").exit_code == 0
    named = invoke("net", "status", environment={"HEADWAY_NETWORKS": str(home), "HEADWAY_NET": "a"})
    assert named.exit_code == 0
    # One of the default name is meant when nothing is said.
    dry(home, "-n", "1")
    assert "full-1*" in net(home, "status").stdout


def test_a_damaged_network_is_3(home: Path) -> None:
    folder = dry(home)
    folder.description.write_text("{", encoding="utf-8")
    for arguments, code in ((["status"], 3), (["stop"], 3), (["ls", "-o", "json"], 0)):
        done = net(home, *arguments)
        assert done.exit_code == code
        (line,) = done.stderr.splitlines()
        assert str(folder.description) in line
    # It is in nobody else's way.
    assert done.stdout == "[]\n"


def test_up_twice_is_3_and_says_what_to_do(home: Path) -> None:
    dry(home)
    done = net(home, "up")
    assert done.exit_code == 3
    (line,) = done.stderr.splitlines()
    assert "exists: 'headway net start --name testnet' starts it again" in line


def test_a_dry_run_writes_files_and_starts_nothing(home: Path) -> None:
    folder = dry(home, "--mix", "history=1,full=1,pico=1", "--seed", "9", "--load", "5")
    assert folder.path == home / "testnet"
    spec = Description.load(folder).spec
    assert [node.name for node in spec.nodes] == ["history-1", "full-1", "pico-1"]
    assert (spec.seed, spec.load_tps) == (9, 5.0)
    assert list(folder.path.rglob("process.json")) == []
    assert list(folder.path.rglob("data.mdb")) == []


def test_a_network_that_does_not_run_is_shown(home: Path) -> None:
    dry(home, "-n", "4")
    shown = net(home, "status")
    lines = shown.stdout.splitlines()
    assert [line.split()[:3] for line in lines[1:-1]] == [
        ["history-1*", "history", "stopped"],
        ["full-1*", "full", "stopped"],
        ["light-1", "light", "stopped"],
        ["pico-1", "pico", "stopped"],
    ]
    assert lines[-1] == "heads: no node is running"
    assert [row["state"] for row in json.loads(net(home, "status", "-o", "json").stdout)] == [
        "stopped"
    ] * 4
    listed = json.loads(net(home, "ls", "-o", "json").stdout)
    assert listed == [
        {
            "name": "testnet",
            "nodes": 4,
            "running": 0,
            "seed": 1,
            "folder": str(home / "testnet"),
        }
    ]


def test_no_network_is_an_empty_list(home: Path) -> None:
    assert json.loads(net(home, "ls", "-o", "json").stdout) == []
    assert net(home, "ls", "-o", "ndjson").stdout == ""
    assert net(home, "ls").exit_code == 0


def test_stopping_what_does_not_run(home: Path) -> None:
    folder = dry(home, "-n", "1")
    for arguments, line in (
        (["stop"], "stopped: no node was running\n"),
        (["stop", "--kill"], "killed: no node was running\n"),
        (["down"], "stopped: no node was running\n"),
    ):
        done = net(home, *arguments)
        assert (done.exit_code, done.stdout, done.stderr) == (0, "", line)
    assert folder.path.exists()
    assert net(home, "down", "--purge").exit_code == 0
    assert not folder.path.exists()


def test_a_crashed_node_is_told_from_a_stopped_one(home: Path) -> None:
    folder = dry(home, "-n", "1").node("full-1")
    folder.data.mkdir()
    ProcessRecord(
        pid=os.getpid(),
        # Another process of our id: it is long gone.
        start_time=own_start_time() - 1,
        peer_id="x",
        addresses=(),
        rpc="127.0.0.1:1",
        network="testnet",
        genesis="00",
        profile="full",
        version="0",
    ).save(folder.data)
    assert net(home, "status").stdout.splitlines()[1].split()[:3] == ["full-1*", "full", "crashed"]
    # And is not signalled in its place.
    assert net(home, "stop").stderr == "stopped: no node was running\n"


def test_a_wait_in_vain_is_7_and_shows_the_log(home: Path) -> None:
    folder = dry(home, "-n", "2")
    folder.node("full-1").log.write_text("first\n" + "last line\n" * 5, encoding="utf-8")
    done = net(home, "wait", "height >= 3", "--timeout", "50ms")
    assert (done.exit_code, done.stdout) == (7, "")
    first, *rest = done.stderr.splitlines()
    assert first == "'height >= 3' did not come to hold within 0.05 s"
    assert rest[0].startswith("full-1: state=stopped, height=None")
    assert rest[1:6] == ["    last line"] * 5
    assert rest[6].startswith("full-2: state=stopped")
    assert net(home, "wait", "state == stopped", "--timeout", "20s").exit_code == 0


@pytest.mark.parametrize(
    ("lines", "shown"),
    [("2", ["b", "c"]), ("0", []), ("4", ["a", "b", "c"]), ("99", ["a", "b", "c"])],
)
def test_the_end_of_logs(home: Path, lines: str, shown: list[str]) -> None:
    folder = dry(home, "--mix", "full=1,light=1")
    folder.node("full-1").log.write_bytes(b"a\nb\nc\nunfinished")
    done = net(home, "logs", "-n", lines)
    # One has no log yet; names are padded so that lines align.
    assert done.stdout.splitlines() == [f"full-1   {line}" for line in shown]
    only = net(home, "logs", "full-1", "-n", lines).stdout
    assert only.splitlines() == [f"full-1  {line}" for line in shown]


def test_lines_are_read_when_they_are_whole(tmp_path: Path) -> None:
    log = tmp_path / "node.log"
    assert whole_lines(log, 0) == ([], 0)
    log.write_bytes(b"one\nt\xffwo\nthr")
    assert whole_lines(log, 0) == (["one", "t\ufffdwo"], 9)
    log.write_bytes(b"one\nt\xffwo\nthree\n")
    assert whole_lines(log, 9) == (["three"], 15)
    assert whole_lines(log, 15) == ([], 15)
