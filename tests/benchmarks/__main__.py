"""`python -m tests.benchmarks [--list] [--quick] NAME...`: one JSON line for each figure."""

import argparse
import os
import sys

from tests.benchmarks.catalog import BENCHMARKS
from tests.benchmarks.measure import line


def main() -> int:
    """Run the benchmarks named on the command line, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--list", action="store_true", help="print the names and what they measure")
    parser.add_argument("--quick", action="store_true", help="smaller workloads, rougher figures")
    options = parser.parse_args()
    if options.list:
        for benchmark in BENCHMARKS.values():
            print(f"{benchmark.name:18} {benchmark.summary}")
        return 0
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"unknown benchmark {unknown[0]!r}; --list prints the names")
    for name in options.names or BENCHMARKS:
        load_before = os.getloadavg()[0]
        for figure in BENCHMARKS[name].run(options.quick):
            print(line(figure, load_before), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
