"""Redis answers late, not at all, or not what it should: what callers notice, and what the counters say afterwards."""

import asyncio
import time

from ..bench import Bench, Spec
from ..case import Stage, case
from ..load import Crowd, Tally, percentile
from ..relay import Toxics
from ..report import Figure, Report, apart, conclude
from ..tenant import Key
from .limits import DEAR, WIDE
from .redis_lost import CLOSED

_RELAYS = ("redis/A", "redis/B")
# `redis.deadline_ms`, as it is when nobody says otherwise.
_DEADLINE_MS = 250


async def _exact(bench: Bench, key: Key, tally: Tally, expected: tuple[str, ...]) -> Report:
    """Concludes a case after which the counters must say exactly what was sent."""
    report, ledgers = await conclude(bench, tally, expected=expected)
    return report.add(*await apart(bench, key, ledgers))


@case("F13", "answers of Redis are lost, come too late or in pieces, and admissions arrive after they were given up")
async def lost_answers(stage: Stage) -> Report:
    async with stage.bench(Spec(price=DEAR)) as bench:
        key = await bench.tenant.key(limits=WIDE)
        crowd = Crowd(bench.doors, [key.text], callers=40, rate=120, longest_wait_s=0.1)
        calling = crowd.begin()
        for _ in range(stage.times(60, 15)):
            await bench.spoil("redis", Toxics(replies_to_drop=1))
            await asyncio.sleep(0.25)
        for _ in range(stage.times(12, 4)):
            await bench.spoil("redis", Toxics(latency_ms=2 * _DEADLINE_MS, jitter_ms=_DEADLINE_MS))
            await asyncio.sleep(0.6)
            await bench.mend("redis")
            await asyncio.sleep(0.6)
        await bench.spoil("redis", Toxics(slice_bytes=3, slice_ms=0.2))
        await asyncio.sleep(stage.span(5, 2))
        await bench.mend("redis")
        dropped = sum([(await bench.relays.stats(name))["dropped"] for name in _RELAYS])
        await asyncio.sleep(2)
        crowd.stop()
        report = await _exact(bench, key, await calling, CLOSED)
        return report.add(Figure("answers lost", dropped, least=stage.times(60, 15)))


@case("F18", "Redis has no memory left")
async def out_of_memory(stage: Stage) -> Report:
    async with stage.bench(Spec(price=DEAR, upstream=["--latency-ms", "200"])) as bench:
        key = await bench.tenant.key(limits=WIDE)
        crowd = Crowd(bench.doors, [key.text], callers=60, rate=120, longest_wait_s=0.2)
        calling = crowd.begin()
        refused = 0
        for _ in range(stage.times(4, 2)):
            await asyncio.sleep(2)
            before = crowd.tally.outcomes["503"]
            await bench.redis.ask("CONFIG", "SET", "maxmemory", "1mb")
            await asyncio.sleep(2)
            refused += crowd.tally.outcomes["503"] - before
            await bench.redis.ask("CONFIG", "SET", "maxmemory", "0")
        await asyncio.sleep(2)
        crowd.stop()
        report = await _exact(bench, key, await calling, CLOSED)
        return report.add(Figure("calls refused meanwhile", refused, least=1))


@case("F20", "Redis stands still for five seconds")
async def frozen(stage: Stage) -> Report:
    async with stage.bench(Spec(price=DEAR)) as bench:
        key = await bench.tenant.key(limits=WIDE)
        crowd = Crowd(bench.doors, [key.text], callers=60, rate=100, longest_wait_s=0.1)
        calling = crowd.begin()
        await asyncio.sleep(3)
        usual = await _scripts_in(bench, 1.0)
        crowd.tally.every_ms.clear()
        bench.redis.process.freeze()
        await asyncio.sleep(stage.span(5, 3))
        slowest = list(crowd.tally.every_ms)
        bench.redis.process.thaw()
        thawed = time.monotonic()
        good = crowd.tally.good
        while crowd.tally.good == good:
            await asyncio.sleep(0.01)
        back_s = time.monotonic() - thawed
        rush = await _scripts_in(bench, 1.0)
        await asyncio.sleep(3)
        crowd.stop()
        report = await _exact(bench, key, await calling, CLOSED)
        return report.add(
            Figure("p50 ms meanwhile", percentile(slowest, 0.5), most=50),
            Figure("p99 ms meanwhile", percentile(slowest, 0.99), most=_DEADLINE_MS + 250),
            Figure("s to the first call", back_s, most=3),
            Figure("scripts in the second after / usual", rush / max(usual, 1), most=5),
        )


async def _scripts_in(bench: Bench, seconds: float) -> float:
    async def calls() -> float:
        line = (await bench.redis.info("commandstats")).get("cmdstat_evalsha", "calls=0")
        return float(line.split(",")[0].split("=")[1])

    before = await calls()
    await asyncio.sleep(seconds)
    return await calls() - before


@case("F21", "SCRIPT FLUSH every second")
async def forgotten_scripts(stage: Stage) -> Report:
    async with stage.bench(Spec(price=DEAR)) as bench:
        key = await bench.tenant.key(limits=WIDE)
        crowd = Crowd(bench.doors, [key.text], callers=60, rate=200)
        calling = crowd.begin()
        for _ in range(stage.times(20, 6)):
            await bench.redis.ask("SCRIPT", "FLUSH")
            await asyncio.sleep(1)
        crowd.stop()
        return await _exact(bench, key, await calling, ("200",))


@case("F22", "Redis answers 300 ms late, then 100 ms late")
async def slow(stage: Stage) -> Report:
    async with stage.bench(Spec(price=DEAR)) as bench:
        key = await bench.tenant.key(limits=WIDE)
        seconds, rate = stage.span(10, 5), 80
        usual = await _serve(bench, key, rate, seconds)
        base = percentile(usual.every_ms, 0.5)
        await bench.spoil("redis", Toxics(latency_ms=300))
        late = await _serve(bench, key, rate, seconds)
        await bench.spoil("redis", Toxics(latency_ms=50))
        await asyncio.sleep(3)
        slow = await _serve(bench, key, rate, seconds)
        await bench.mend("redis")
        await asyncio.sleep(1)
        after = await _serve(bench, key, rate, seconds)
        for tally in (late, slow, after):
            usual.add(tally)
        report = await _exact(bench, key, usual, CLOSED)
        return report.add(
            Figure("300 ms: added p50 ms", percentile(late.every_ms, 0.5) - base, most=50),
            Figure("300 ms: added p99 ms", percentile(late.every_ms, 0.99) - base, most=_DEADLINE_MS + 100),
            Figure("300 ms: answered a second / asked", late.calls / seconds / rate, least=0.9),
            Figure("100 ms: added p50 ms", percentile(slow.every_ms, 0.5) - base, most=150),
            Figure("100 ms: served", slow.good / max(slow.calls, 1), least=0.99),
            Figure("afterwards: served", after.good / max(after.calls, 1), least=0.999),
        )


async def _serve(bench: Bench, key: Key, rate: float, seconds: float) -> Tally:
    return await Crowd(bench.doors, [key.text], callers=80, rate=rate, longest_wait_s=0.1).run(seconds)
