"""`make faults`: plays the cases that are named, or all; fails when a zero is not a zero."""

import argparse
import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path

from . import cases, table
from .bench import Machine
from .case import CASES, Case, Result, play


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make faults", description="Plays the fault matrix on real processes.")
    parser.add_argument(
        "cases",
        nargs="*",
        metavar="CASE",
        help="which, such as F1 F11 crowd; all but the extra ones when none is named",
    )
    parser.add_argument("--quick", action="store_true", help="shorter, for developing: figures say less")
    parser.add_argument("--list", action="store_true", help="tell which cases there are")
    parser.add_argument("--keep", metavar="FOLDER", type=Path, help="copy every log of cases that fail into a folder")
    return parser.parse_args()


def _chosen(names: list[str]) -> list[Case]:
    known = {one.name.lower(): one for one in CASES}
    unknown = [name for name in names if name.lower() not in known]
    if unknown:
        sys.exit(f"there is no case {', '.join(unknown)}: see --list")
    return [known[name.lower()] for name in names] if names else [one for one in CASES if not one.is_extra]


async def _play_all(chosen: list[Case], arguments: argparse.Namespace) -> list[Result]:
    binary = Path(os.environ["SYNAXIS_BINARY"]).resolve()
    results = []
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _interrupt, asyncio.current_task())
    async with Machine(binary, arguments.quick) as machine:
        print(table.head(), flush=True)
        for one in chosen:
            result = await play(one, machine)
            results.append(result)
            print("\n".join(table.lines(result)), flush=True)
            if arguments.keep and result.verdict == "FAILED":
                shutil.copytree(machine.folder / one.name, arguments.keep / one.name, dirs_exist_ok=True, symlinks=True)
            shutil.rmtree(machine.folder / one.name, ignore_errors=True)
    return results


def _interrupt(task: "asyncio.Task[list[Result]] | None") -> None:
    if task:
        task.cancel()


def main() -> None:
    """Plays, prints, and ends with 1 when a case failed."""
    arguments = _arguments()
    cases.load()
    if arguments.list:
        for one in CASES:
            print(f"{one.name:6}  {one.title}{' (only when named)' if one.is_extra else ''}")
        return
    try:
        results = asyncio.run(_play_all(_chosen(arguments.cases), arguments))
    except (asyncio.CancelledError, KeyboardInterrupt):
        sys.exit("stopped")
    print(table.summary(results))
    sys.exit(any(result.verdict == "FAILED" for result in results))


main()
