"""The spool's disk is full, while Postgres takes nothing out of it."""

import asyncio
import os
import shutil
import time
from pathlib import Path

from ..bench import Bench, Skip, Spec
from ..case import Stage, case
from ..load import Crowd
from ..process import run
from ..relay import Toxics
from ..report import Figure, Report, conclude, zero
from .limits import DEAR, WIDE

_DISK = 1 << 20


@case("F47", "the spool's disk of one mebibyte is full")
async def full_disk(stage: Stage) -> Report:
    async with stage.bench(Spec(price=DEAR, is_started=False, settings={"TELEMETRY__LEVEL": "warn"})) as bench:
        key = await bench.tenant.key(limits=WIDE)
        mounted = await _limit_disks(bench)
        try:
            await asyncio.gather(bench.a.start(), bench.b.start())
            await bench.watch()
            return await _fill(stage, bench, key.text)
        finally:
            await asyncio.gather(bench.a.kill(), bench.b.kill())
            for folder in mounted:
                await run(["umount", str(folder)], bench.machine.env, bench.folder)


async def _limit_disks(bench: Bench) -> list[Path]:
    """Gives each spool a disk of its own; where that is not permitted, its files may not grow."""
    if os.geteuid() != 0:
        if shutil.which("prlimit") is None:
            raise Skip("neither root nor prlimit")
        for plane in (bench.a, bench.b):
            plane.process.command = ["prlimit", f"--fsize={_DISK}", *plane.process.command]
        return []
    mounted = []
    for plane in (bench.a, bench.b):
        plane.spool.mkdir(parents=True)
        try:
            disk = ["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", str(plane.spool)]
            await run(disk, bench.machine.env, bench.folder)
        except RuntimeError as error:
            raise Skip(f"no disk can be mounted: {error}") from error
        mounted.append(plane.spool)
    return mounted


async def _fill(stage: Stage, bench: Bench, key: str) -> Report:
    await bench.spoil("postgres", Toxics(is_down=True))
    crowd = Crowd(bench.doors, [key], callers=60, longest_wait_s=0.2)
    calling = crowd.begin()
    full_s = await _until_refused(crowd)
    before = crowd.tally.good
    await asyncio.sleep(stage.span(8, 3))
    meanwhile = crowd.tally.good - before
    began = time.monotonic()
    await bench.mend("postgres")
    good = crowd.tally.good
    while crowd.tally.good < good + 100 and time.monotonic() < began + 30:
        await asyncio.sleep(0.02)
    recovered_s = time.monotonic() - began
    await asyncio.sleep(2)
    crowd.stop()
    report, _ = await conclude(bench, await calling, expected=("200", "503"), patience_s=60)
    lost = [await plane.metric("synaxis_usage_lost_total") for plane in (bench.a, bench.b)]
    return report.add(
        zero("entries lost", sum(lost)),
        Figure("s until paid calls are refused", full_s, most=60),
        Figure("calls refused", crowd.tally.codes["503 books_full"] or crowd.tally.outcomes["503"], least=1),
        Figure("calls that passed while full", meanwhile),
        Figure("s until calls pass again", recovered_s, most=10),
    )


async def _until_refused(crowd: Crowd) -> float:
    began = time.monotonic()
    while crowd.tally.outcomes["503"] < 50 and time.monotonic() < began + 90:
        await asyncio.sleep(0.05)
    return time.monotonic() - began
