"""Redis loses what it knew: all of it, its last second, what its replica had not heard; or must not be relied on."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from ..bench import Bench, Spec
from ..case import Stage, case
from ..load import Crowd, Tally
from ..process import free_port, until
from ..relay import Toxics
from ..report import Figure, Report, apart_in_the_end, conclude, zero
from ..servers import Redis
from ..tenant import Key, Terms
from ..truth import Limited
from .limits import DEAR, WIDE

# What a caller may see while Redis is away.
CLOSED = ("200", "429", "503")


async def _seeds(bench: Bench) -> int:
    """How often the books were asked what was spent."""
    query = "select coalesce(sum(calls), 0) as n from pg_stat_user_functions where funcname = 'spent'"
    # Sessions tell what they counted once a second.
    await asyncio.sleep(1.5)
    return int((await bench.ask(query))[0]["n"])


async def _first_answer(doors: list[int], key: Key) -> float:
    """Returns how many seconds pass until a call is answered at every door."""
    began = time.monotonic()

    async def at(door: int) -> None:
        crowd = Crowd([door], [key.text], callers=1, longest_wait_s=0.05)
        calling = crowd.begin(60)
        await until("the first answer", _has_answer(crowd.tally), 60, every_s=0.01)
        crowd.stop()
        await calling

    await asyncio.gather(*(at(door) for door in doors))
    return time.monotonic() - began


def _has_answer(tally: Tally) -> Callable[[], Awaitable[bool]]:
    async def has_answer() -> bool:
        return 0 < tally.good

    return has_answer


@case("F14", "Redis is killed and comes back empty when 99 % of a limit is used; 100 callers storm")
async def emptied(stage: Stage) -> Report:
    async with stage.bench(Spec(price=DEAR)) as bench:
        tenant = bench.tenant
        group = await tenant.group("Team")
        spent = await tenant.key("spent", limits=[Terms("requests", "day", 100)], group=group)
        wide = await tenant.key("wide", limits=WIDE, group=group)
        for terms in WIDE:
            await tenant.limit("organization", terms)
            await tenant.limit("group", terms, group_id=group)
        await Crowd(bench.doors, [spent.text], callers=3, most_calls=99).run(30)
        busy = Crowd(bench.doors, [wide.text], callers=20, rate=60, longest_wait_s=0.2)
        going_on = busy.begin()
        await asyncio.sleep(2)
        seeds = await _seeds(bench)
        await bench.redis.process.kill()
        await asyncio.sleep(0.5)
        bench.redis.forget()
        storm = Crowd(bench.doors, [spent.text], callers=100, longest_wait_s=0.3)
        storming = storm.begin()
        await bench.redis.start()
        back_s = await _first_answer(bench.doors, wide)
        await asyncio.sleep(stage.span(5, 3))
        storm.stop()
        busy.stop()
        tally = await storming
        tally.add(await going_on)
        day = Limited("a day", 100, None, lambda sent: 1, keys=frozenset({spent.id}))
        report, ledgers = await conclude(bench, tally, expected=CLOSED, limits=(day,))
        seeds = await _seeds(bench) - seeds
        off = await apart_in_the_end(bench, wide, ledgers.of(wide.id), of="key")
        return report.add(
            Figure("calls of the limit of 100", len(ledgers.of(spent.id).sent), least=100, most=100),
            Figure("s to the first call", back_s, most=5),
            Figure("questions of a proxy to the books", seeds / 2, most=2),
            *off,
        )


@case("F16", "Redis with an append-only file is killed in a burst, and the last second of the file is gone")
async def lost_second(stage: Stage) -> Report:
    options = ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction"]
    async with stage.bench(Spec(price=DEAR, redis_options=options)) as bench:
        key = await bench.tenant.key(limits=WIDE)
        crowd = Crowd(bench.doors, [key.text], callers=40, rate=150, longest_wait_s=0.2)
        calling = crowd.begin()
        cut = 0
        for _ in range(stage.times(5, 2)):
            await asyncio.sleep(3)
            size = _file(bench.redis).stat().st_size
            await asyncio.sleep(1)
            await bench.redis.process.kill()
            cut += _cut(bench.redis, size)
            await bench.redis.start()
        await asyncio.sleep(3)
        crowd.stop()
        report, ledgers = await conclude(bench, await calling, expected=CLOSED)
        return report.add(
            Figure("bytes of the file lost", cut, least=1),
            *await apart_in_the_end(bench, key, ledgers),
        )


def _file(redis: Redis) -> Path:
    return max(redis.folder.glob("appendonlydir/*.incr.aof"), key=lambda path: path.stat().st_mtime)


def _cut(redis: Redis, size: int) -> int:
    """Takes from the file what was written after it was `size` long; the file of a killed process is whole."""
    path = _file(redis)
    grown = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size)
    return grown - size


@case("F17", "a replica that heard nothing for ten seconds takes over")
async def stale_replica(stage: Stage) -> Report:
    async with stage.bench(Spec(price=DEAR)) as bench:
        tenant = bench.tenant
        spent = await tenant.key("spent", limits=[Terms("requests", "day", 200)])
        wide = await tenant.key("wide", limits=WIDE)
        replica = await _replicate(bench)
        busy = Crowd(bench.doors, [wide.text], callers=20, rate=60, longest_wait_s=0.2)
        hungry = Crowd(bench.doors, [spent.text], callers=20, rate=25, longest_wait_s=0.2)
        calling = [busy.begin(), hungry.begin()]
        await asyncio.sleep(3)
        await bench.relays.spoil("replication", Toxics(is_black_hole=True))
        await asyncio.sleep(stage.span(10, 5))
        await bench.redis.process.kill()
        await replica.ask("REPLICAOF", "NO", "ONE")
        for door in ("redis/A", "redis/B"):
            await bench.relays.aim(door, replica.port)
            await bench.relays.reset(door)
        back_s = await _first_answer(bench.doors, wide)
        await asyncio.sleep(4)
        busy.stop()
        hungry.stop()
        tally = await calling[0]
        tally.add(await calling[1])
        day = Limited("a day", 200, None, lambda sent: 1, keys=frozenset({spent.id}))
        report, ledgers = await conclude(bench, tally, expected=CLOSED, limits=(day,))
        rebuilds = [await plane.metric("synaxis_redis_errors_total") for plane in bench.proxies.values()]
        off = await apart_in_the_end(bench, wide, ledgers.of(wide.id), of="key")
        await replica.process.kill()
        return report.add(
            Figure("s to the first call", back_s, most=5),
            Figure("failed calls to Redis", sum(rebuilds)),
            *off,
        )


async def _replicate(bench: Bench) -> Redis:
    """Starts a replica that hears its primary through a relay."""
    replica = Redis(bench.folder, bench.machine.env, "replica")
    port = free_port()
    await bench.relays.open("replication", port, bench.redis.port)
    await replica.start([*replica.options, "--replicaof", "127.0.0.1", str(port), "--repl-diskless-sync-delay", "0"])

    async def is_in_step() -> bool:
        return (await replica.info("replication")).get("master_link_status") == "up"

    await until("the replica is in step", is_in_step)
    return replica


@case("F19", "Redis may evict, and Redis is not there: no proxy is ready, no limited call passes")
async def not_to_be_relied_on(stage: Stage) -> Report:
    evicting = ["--save", "", "--appendonly", "no", "--maxmemory-policy", "allkeys-lru"]
    async with stage.bench(Spec(redis_options=evicting, is_started=False, has_control=False)) as bench:
        key = await bench.tenant.key(limits=[Terms("requests", "day", 1000)])
        await asyncio.gather(bench.a.process.start(), bench.b.process.start())
        told = await _told(bench)
        tally = await Crowd(bench.doors, [key.text], callers=4, longest_wait_s=0.2).run(2)
        passed_evicting = tally.good
        began = time.monotonic()
        await bench.redis.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        await asyncio.gather(bench.a.ready(), bench.b.ready())
        evicting_s = time.monotonic() - began
        await asyncio.gather(bench.a.kill(), bench.b.kill(), bench.redis.process.kill())
        await asyncio.gather(bench.a.process.start(), bench.b.process.start())
        told_away = await _told(bench)
        tally.add(await Crowd(bench.doors, [key.text], callers=4, longest_wait_s=0.2).run(2))
        passed_away = tally.good - passed_evicting
        began = time.monotonic()
        await bench.redis.start(["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"])
        await asyncio.gather(bench.a.ready(), bench.b.ready())
        away_s = time.monotonic() - began
        tally.add(await Crowd(bench.doors, [key.text], callers=4).run(1))
        report, _ = await conclude(bench, tally, expected=("200", "503", "refused"))
        return report.add(
            zero("proxies silent about evictions", 2 - told.count("noeviction")),
            zero("proxies silent about Redis", 2 - told_away.count("limits")),
            zero("calls passed while it may evict", passed_evicting),
            zero("calls passed while it is away", passed_away),
            Figure("s to ready after eviction", evicting_s, most=5),
            Figure("s to ready after absence", away_s, most=5),
        )


async def _told(bench: Bench) -> str:
    """Waits until both proxies say why they are not ready, and returns what they say."""
    told = {}

    async def both_say() -> bool:
        for plane in (bench.a, bench.b):
            answer = await plane.asked("/readyz")
            if answer.status == 503 and answer.body.startswith(b"limits"):
                told[plane.name] = answer.body.decode()
        return len(told) == 2

    await until("both say why they are not ready", both_say)
    return " ".join(told.values())
