#!/usr/bin/env python3
"""The tasks of this project: ./make.py setup, net, test, races, check, bench, lock, format.

Needs nothing but a Python 3.11 to 3.13 and the package index that pip is configured for. Every
task sets up what it needs first; that is skipped when the lock files have not changed.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
CACHE = ROOT / ".cache"
BIN = VENV / "bin"
PYTHON = BIN / "python"
STAMP = VENV / ".locked"
"""Names and hashes of the lock files that the environment was made from."""
LOG = CACHE / "setup.log"
RUN_LOCK = ROOT / "requirements.txt"
DEV_LOCK = ROOT / "requirements-dev.txt"
"""Holds everything of the run lock too."""

OLDEST = (3, 11)
NEWEST = (3, 13)
"""The newest Python for which each pinned package has a wheel."""

SHADOWING_STUBS = ("trio-stubs", "outcome-stubs", "async_generator-stubs")
"""Brought by trio-typing, a dependency of libp2p. They hide the types that trio itself has."""

NET_ARGUMENTS = shlex.split(
    "net up -n 8 --mix history=2,full=3,light=2,pico=1 --seed 7 --block-time 1s --wait 'height>=3'"
)

PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "timeout": "UV_HTTP_TIMEOUT",
}
"""Where pip is told to look, uv looks too: it does not read pip's settings itself."""

SYSTEM_CERTIFICATES = Path("/etc/ssl/certs")

CODE = ("cli", "node", "protocols", "tests", "make.py")


class SetupError(Exception):
    """The environment cannot be made. The message is the one line that says why."""


# --- set-up ---------------------------------------------------------------------------------------


def setup(*, dev: bool) -> None:
    """Make `.venv` hold exactly what the lock file says, and the project itself, editable."""
    lock = DEV_LOCK if dev else RUN_LOCK
    if is_current(lock):
        return
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "setup.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not is_current(lock):
            make_environment(lock, dev=dev)


def is_current(lock: Path) -> bool:
    """Tell whether `.venv` was made from a lock file as it is now."""
    wanted = f"{lock.name} {fingerprint(lock)}"
    return PYTHON.exists() and STAMP.exists() and wanted in STAMP.read_text().splitlines()


def make_environment(lock: Path, *, dev: bool) -> None:
    """Create or update `.venv`. One process at a time."""
    started = time.monotonic()
    LOG.write_text("")
    interpreter = usable_python()
    ensure_venv_module(interpreter)
    say(f"setting up .venv from {lock.name} (once; details in {LOG.relative_to(ROOT)})")
    STAMP.unlink(missing_ok=True)
    if not install_with_uv(interpreter, lock) and not install_with_pip(interpreter, lock):
        raise SetupError(f"cannot install the packages of {lock.name}:\n{log_tail()}")
    if dev:
        remove_shadowing_stubs()
    locks = (RUN_LOCK, DEV_LOCK) if dev else (RUN_LOCK,)
    STAMP.write_text("".join(f"{file.name} {fingerprint(file)}\n" for file in locks))
    say(f"set up in {time.monotonic() - started:.1f} s")


def fingerprint(lock: Path) -> str:
    """Hash what an environment depends on: pinned packages and the project's own metadata."""
    digest = hashlib.sha256(lock.read_bytes())
    digest.update((ROOT / "pyproject.toml").read_bytes())
    return digest.hexdigest()


def usable_python() -> str:
    """Return an interpreter of a version that works: this one, or another on the path."""
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        # The venv's own interpreter would vanish with the folder that is about to be replaced.
        return os.path.realpath(sys.executable) if inside(VENV) else sys.executable
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found:
            return found
    raise SetupError(
        f"Python 3.{OLDEST[1]} to 3.{NEWEST[1]} is needed, this is "
        f"{sys.version_info[0]}.{sys.version_info[1]} ({sys.executable})"
    )


def inside(folder: Path) -> bool:
    """Tell whether this interpreter belongs to a virtual environment."""
    return Path(sys.prefix).resolve() == folder.resolve()


def ensure_venv_module(interpreter: str) -> None:
    """Get the venv module where the system's Python comes without it, as Debian's does."""
    if has_venv(interpreter):
        return
    package = "python3-venv"
    prefix = root_prefix()
    if prefix is None or not shutil.which("apt-get"):
        raise SetupError(
            f"{interpreter} has no venv module: install it first "
            f"(Debian: sudo apt-get install {package}), then run this again"
        )
    say(f"installing {package} with apt-get: {interpreter} comes without it")
    settings = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    run_logged([*settings, "update"])
    run_logged([*settings, "install", "-y", "--no-install-recommends", package])
    if not has_venv(interpreter):
        raise SetupError(f"apt-get could not install {package}:\n{log_tail()}")


def has_venv(interpreter: str) -> bool:
    """Tell whether an interpreter can make a virtual environment with pip in it."""
    return run_logged([interpreter, "-c", "import venv, ensurepip"])


def root_prefix() -> list[str] | None:
    """Return what to put before a command to run it as root, or None."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and run_logged(["sudo", "-n", "true"]):
        return ["sudo", "-n"]
    return None


def install_with_uv(interpreter: str, lock: Path) -> bool:
    """Install with uv: several times faster than pip, and it keeps a cache between clones."""
    uv = find_uv(interpreter)
    if uv is None:
        return False
    environment = {**uv_settings(interpreter), **os.environ, "VIRTUAL_ENV": str(VENV)}
    create = [uv, "venv", "--quiet", "--clear", "--python", interpreter, str(VENV)]
    steps = [
        *([] if venv_works() else [create]),
        [uv, "pip", "sync", "--require-hashes", "--compile-bytecode", str(lock)],
        [uv, "pip", "install", "--no-deps", "--editable", str(ROOT)],
    ]
    return all(run_logged(step, environment) for step in steps)


def venv_works() -> bool:
    """Tell whether `.venv` can be updated in place: nodes of a network may be running from it."""
    return PYTHON.exists() and run_logged([str(PYTHON), "-c", "import encodings"])


def find_uv(interpreter: str) -> str | None:
    """Return a uv: the user's, or one installed by pip into an environment of its own."""
    own = CACHE / "uv"
    uv = own / "bin" / "uv"
    if uv.exists():
        return str(uv)
    if on_path := shutil.which("uv"):
        return on_path
    made = run_logged([interpreter, "-m", "venv", "--clear", str(own)])
    if made and run_logged([str(own / "bin" / "python"), "-m", "pip", "install", "uv"]):
        return str(uv)
    return None


def uv_settings(interpreter: str) -> dict[str, str]:
    """Translate the user's pip configuration into uv's variables."""
    own = CACHE / "uv" / "bin" / "python"
    python = str(own) if own.exists() else interpreter
    listing = subprocess.run(
        [python, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    settings = {}
    if SYSTEM_CERTIFICATES.exists():
        # pip trusts the system's certificates on Debian; uv brings its own unless told.
        settings["UV_SYSTEM_CERTS"] = settings["UV_NATIVE_TLS"] = "true"
    for line in listing.stdout.splitlines():
        name, _, value = line.partition("=")
        variable = PIP_TO_UV.get(name.rpartition(".")[2])
        if variable:
            settings[variable] = value.strip("'\"").replace("\\n", " ")
    return settings


def install_with_pip(interpreter: str, lock: Path) -> bool:
    """Install with pip alone, for where uv does not exist or cannot reach the index."""
    say("uv did not work here, using pip (slower)")
    pip = [str(PYTHON), "-m", "pip", "install", "--no-deps"]
    steps = [
        [interpreter, "-m", "venv", "--clear", str(VENV)],
        [*pip, "--require-hashes", "--requirement", str(lock)],
        [*pip, "--editable", str(ROOT)],
    ]
    return all(run_logged(step) for step in steps)


def remove_shadowing_stubs() -> None:
    """Let mypy see the types of trio itself."""
    for packages in VENV.glob("lib/python*/site-packages"):
        for name in SHADOWING_STUBS:
            shutil.rmtree(packages / name, ignore_errors=True)


def run_logged(command: list[str], environment: dict[str, str] | None = None) -> bool:
    """Run a command with its output in the log; tell whether it worked."""
    with LOG.open("a") as log:
        log.write(f"$ {shlex.join(command)}\n")
        log.flush()
        try:
            done = subprocess.run(
                command, stdout=log, stderr=subprocess.STDOUT, env=environment, check=False
            )
        except OSError as error:
            log.write(f"{error}\n")
            return False
    return done.returncode == 0


def log_tail() -> str:
    """Return the end of the log, for a message."""
    return "\n".join(LOG.read_text(errors="replace").splitlines()[-15:])


def say(text: str) -> None:
    """Report progress; stdout is for data."""
    print(f"make: {text}", file=sys.stderr, flush=True)


# --- checks ---------------------------------------------------------------------------------------


class Step(NamedTuple):
    """One part of `check`."""

    name: str
    command: tuple[str, ...]


STATIC_STEPS = (
    Step("format", ("ruff", "format", "--check", "--quiet", *CODE)),
    Step("lint", ("ruff", "check", "--quiet", *CODE)),
    Step("imports", ("lint-imports",)),
    Step("dead code", ("vulture",)),
    Step("spelling", ("codespell",)),
    Step("types", ("mypy", *CODE)),
)


def check(*, with_tests: bool, pytest_arguments: list[str]) -> int:
    """Run all checks, also after one has failed, and end with a summary."""
    steps = list(STATIC_STEPS)
    if with_tests:
        steps.append(Step("tests", pytest_command(pytest_arguments)))
    failed = []
    summary = []
    for step in steps:
        print(f"--- {step.name}: {shlex.join(step.command)}", flush=True)
        started = time.monotonic()
        code = run_tool(step.command)
        verdict = "ok" if code == 0 else "FAILED"
        summary.append(f"{step.name:<10} {verdict:<7} {time.monotonic() - started:6.1f} s")
        if code:
            failed.append(step.name)
    print("\n".join(["---", *summary]))
    print(f"check: {'all passed' if not failed else 'failed: ' + ', '.join(failed)}")
    return 1 if failed else 0


def pytest_command(arguments: list[str]) -> tuple[str, ...]:
    """Return how to run tests: all of them on all cores, a choice of them in this process."""
    return ("python", "-m", "pytest", *(arguments or ["--numprocesses", "auto"]))


def run_tool(command: tuple[str, ...] | list[str]) -> int:
    """Run a program of the environment in the project's folder and return its exit code."""
    return subprocess.run([str(BIN / command[0]), *command[1:]], cwd=ROOT, check=False).returncode


# --- tasks ----------------------------------------------------------------------------------------


def task_setup(_: argparse.Namespace, __: list[str]) -> int:
    """Create .venv with everything for running, testing and checking."""
    setup(dev=True)
    return 0


def task_net(_: argparse.Namespace, rest: list[str]) -> int:
    """Start a network of eight nodes, wait for height 3, and show it. Options go to net up."""
    setup(dev=False)
    headway = ["headway", *NET_ARGUMENTS, *rest]
    print(f"$ {shlex.join(headway)}", flush=True)
    return run_tool(headway)


def task_test(_: argparse.Namespace, rest: list[str]) -> int:
    """Run the tests. Options go to pytest."""
    setup(dev=True)
    return run_tool(pytest_command(rest))


def task_races(_: argparse.Namespace, rest: list[str]) -> int:
    """Run state syncs from ten thousand seeds, on all cores. Options go to the runner."""
    setup(dev=True)
    return run_tool(["python", "-m", "tests.sim.state_races", *rest])


def task_check(options: argparse.Namespace, rest: list[str]) -> int:
    """Check format, lint, imports, dead code, spelling and types, and run the tests."""
    setup(dev=True)
    return check(with_tests=not options.without_tests, pytest_arguments=rest)


def task_bench(_: argparse.Namespace, rest: list[str]) -> int:
    """Run benchmarks by name; without one, list them."""
    setup(dev=True)
    return run_tool(["python", "-m", "tests.benchmarks", *(rest or ["--list"])])


def task_format(_: argparse.Namespace, __: list[str]) -> int:
    """Format the code and mend what the linter can mend."""
    setup(dev=True)
    fixed = run_tool(["ruff", "check", "--fix", "--quiet", *CODE])
    return run_tool(["ruff", "format", *CODE]) or fixed


def task_lock(_: argparse.Namespace, rest: list[str]) -> int:
    """Pin the newest packages that pyproject.toml allows. Options go to `uv pip compile`."""
    CACHE.mkdir(exist_ok=True)
    LOG.write_text("")
    interpreter = usable_python()
    ensure_venv_module(interpreter)
    uv = find_uv(interpreter)
    if uv is None:
        raise SetupError(f"locking needs uv:\n{log_tail()}")
    environment = {**uv_settings(interpreter), **os.environ}
    compile_ = [uv, "pip", "compile", "--universal", "--generate-hashes", "--quiet", *rest]
    compile_ += ["--python-version", f"3.{OLDEST[1]}", "--no-header", "--no-emit-index-url"]
    compile_ += ["--no-emit-find-links", "--no-annotate"]
    for lock, groups in ((RUN_LOCK, []), (DEV_LOCK, ["--group", "dev"])):
        command = [*compile_, *groups, "pyproject.toml", "--output-file", lock.name]
        code = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=False
        ).returncode
        if code:
            return code
        say(f"wrote {lock.name}")
    return 0


TASKS = {
    "setup": task_setup,
    "net": task_net,
    "test": task_test,
    "races": task_races,
    "check": task_check,
    "bench": task_bench,
    "lock": task_lock,
    "format": task_format,
}


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Read the command line: a task, and what is passed on to its program."""
    parser = argparse.ArgumentParser(prog="make.py", description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    for name, task in TASKS.items():
        summary = (task.__doc__ or "").strip()
        command = commands.add_parser(name, help=summary, description=summary)
        if name == "check":
            command.add_argument("--without-tests", action="store_true", help="static checks only")
    return parser.parse_known_args(arguments)


def main() -> int:
    """Run one task and return the exit code."""
    options, rest = parse(sys.argv[1:])
    try:
        return TASKS[options.task](options, rest)
    except SetupError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
