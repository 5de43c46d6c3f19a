"""Proxies are killed in the middle of calls, again and again."""

import asyncio
import time

from ..bench import Bench, Spec
from ..case import Stage, case
from ..load import Crowd, Words
from ..planes import Plane
from ..process import until
from ..report import Figure, Report, conclude, zero
from ..tenant import Key, Terms, standings
from ..truth import most_at_once
from .limits import DEAR, WIDE

# What a caller sees of a proxy that dies under it, and of its successor while it warms up.
BROKEN = ("200", "429", "503", "refused", "reset", "cut")
_LEASE_S = 10


@case("F11", "a proxy is killed between reserve and settle, 50 times")
async def killed_in_mid_call(stage: Stage) -> Report:
    spec = Spec(price=DEAR, settings={"QUOTA__LEASE_MS": str(_LEASE_S * 1000)}, upstream=["--latency-ms", "300"])
    async with stage.bench(spec) as bench:
        slots = 40
        key = await bench.tenant.key(limits=[*WIDE, Terms("concurrent", "instant", slots)])
        crowd = Crowd(bench.doors, [key.text], callers=30, words=Words(is_stream=True), longest_wait_s=0.3)
        calling = crowd.begin()
        for _ in range(stage.times(50, 6)):
            await asyncio.sleep(0.7)
            await bench.a.kill()
            await bench.a.start()
        await asyncio.sleep(1)
        crowd.stop()
        tally = await calling
        free_s = await _all_free(bench, key)
        report, ledgers = await conclude(bench, tally, expected=BROKEN, keys=(key,))
        lost = [row for row in ledgers.rows if row.finish == "abandoned"]
        return report.add(
            Figure("s until every slot is free", free_s, most=_LEASE_S + 2),
            Figure("calls abandoned", len(lost), least=1),
            zero("abandoned calls not marked as estimates", sum(not row.is_estimated for row in lost)),
            Figure("most calls at once", most_at_once(ledgers.sent), most=slots),
        )


async def _all_free(bench: Bench, key: Key) -> float:
    async def is_free() -> bool:
        lines = await standings(bench.b.port, key)
        return all(line.used == 0 for line in lines if line.meter == "concurrent")

    return await until("every slot is free", is_free, 3 * _LEASE_S)


@case("F44", "both proxies are killed, 20 times, at 200 calls a second")
async def both_killed(stage: Stage) -> Report:
    async with stage.bench(Spec(price=DEAR, upstream=["--latency-ms", "50"])) as bench:
        key = await bench.tenant.key(limits=WIDE)
        crowd = Crowd(bench.doors, [key.text], callers=100, rate=200, longest_wait_s=0.2)
        calling = crowd.begin()
        for _ in range(stage.times(20, 4)):
            await asyncio.sleep(2)
            await asyncio.gather(bench.a.kill(), bench.b.kill())
            await asyncio.gather(bench.a.start(), bench.b.start())
        await asyncio.sleep(2)
        crowd.stop()
        tally = await calling
        began = time.monotonic()
        await bench.idle(60)
        drained_s = time.monotonic() - began
        report, ledgers = await conclude(bench, tally, expected=BROKEN)
        return report.add(
            Figure("s to drain", drained_s, most=15),
            Figure("calls abandoned", ledgers.finishes()["abandoned"], least=1),
            zero("segments left", await _segments_left([bench.a, bench.b])),
        )


async def _segments_left(planes: list[Plane]) -> int:
    """Waits for the folders to be swept, and returns how many segments of dead processes stayed."""

    def left() -> int:
        # Each living process has one segment of its own.
        return sum(max(0, len(list(plane.spool.glob("*.seg*"))) - 1) for plane in planes)

    async def is_swept() -> bool:
        return left() == 0

    try:
        await until("the spools are swept", is_swept, 10)
    except Exception:
        return left()
    return 0
