"""Postgres is away, dies while it is told, is told the same by four at once, or refuses one call of a thousand."""

import asyncio
import random
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from ..bench import Bench, Spec
from ..case import Stage, case
from ..load import Client, Crowd, Tally, Words, percentile
from ..process import until
from ..relay import Toxics
from ..report import Figure, Report, conclude, zero
from ..tenant import Key, Terms
from .limits import DEAR, WIDE


@case("F45", "Postgres is away for a minute; later it is there and silent")
async def away(stage: Stage) -> Report:
    async with stage.bench(Spec(price=DEAR)) as bench:
        known = await bench.tenant.key("known", limits=WIDE)
        stranger = await bench.tenant.key("stranger", limits=[Terms("requests", "day", 1000)])
        crowd = Crowd(bench.doors, [known.text], callers=50, rate=150)
        calling = crowd.begin()
        await asyncio.sleep(2)
        await bench.postgres.stop()
        asked = Crowd(bench.doors, [stranger.text], callers=2, rate=4, longest_wait_s=0.1)
        tally = await asked.run(stage.span(60, 8))
        spooled = bench.a.spool_bytes() + bench.b.spool_bytes()
        crowd.stop()
        tally_known = await calling
        waiting = len(bench.upstream.sent())
        await bench.postgres.start()
        began = time.monotonic()
        await bench.idle(60)
        drained_s = time.monotonic() - began
        after = await Crowd(bench.doors, [stranger.text], callers=2, most_calls=4).run(10)
        await bench.spoil("postgres", Toxics(is_black_hole=True))
        silent = await Crowd(bench.doors, [known.text], callers=50, rate=150).run(stage.span(15, 6))
        await bench.mend("postgres")
        tally_known.add(silent)
        report, _ = await conclude(bench, tally_known)
        return report.add(
            Figure("p99 ms while it is silent", percentile(silent.every_ms, 0.99), most=250),
            zero("strangers told anything but 503", sum(tally.other_than("503").values())),
            zero("strangers not served afterwards", after.calls - after.good),
            Figure("spool MB", spooled / 1e6),
            Figure("s to drain", drained_s, most=15),
            Figure("rows a second", waiting / max(drained_s, 0.1)),
        )


async def _backlog(bench: Bench, key: Key, seconds: float) -> Tally:
    """Lets calls gather in the spools while Postgres is away."""
    await Crowd(bench.doors, [key.text], callers=4, most_calls=20).run(10)
    await bench.idle()
    await bench.postgres.stop()
    return await Crowd(bench.doors, [key.text], callers=100).run(seconds)


@case("F46", "Postgres is killed five times while the spools are emptied into it")
async def killed_in_replay(stage: Stage) -> Report:
    # Small batches: more of them are cut off.
    async with stage.bench(Spec(price=DEAR, settings={"USAGE__BATCH": "20"})) as bench:
        key = await bench.tenant.key(limits=WIDE)
        tally = await _backlog(bench, key, stage.span(15, 5))
        booked = []
        for _ in range(stage.times(5, 3)):
            await bench.postgres.start()
            await asyncio.sleep(random.uniform(0.2, 1.2))
            booked.append(await _rows(bench))
            await bench.postgres.kill()
        await bench.postgres.start()
        report, ledgers = await conclude(bench, tally, patience_s=60)
        within = sum(0 < rows < len(ledgers.rows) for rows in booked)
        return report.add(Figure("deaths with some of it booked", within, least=1))


async def _rows(bench: Bench) -> int:
    return int((await bench.ask("select count(*) as n from operations.usage_entries"))[0]["n"])


@case("F49", "four proxies bring the same segments, in another order each; then four share one folder")
async def told_by_four(stage: Stage) -> Report:
    async with stage.bench(Spec(price=DEAR, has_control=False, settings={"USAGE__SEGMENT_BYTES": "65536"})) as bench:
        key = await bench.tenant.key(limits=WIDE)
        tally = await _backlog(bench, key, stage.span(20, 5))
        await asyncio.gather(bench.a.kill(), bench.b.kill())
        names = ["C", "D", "E", "F"]
        await bench.postgres.start()
        deadlocks = await _deadlocks(bench)
        for name in names:
            plane = bench.add_proxy(name)
            _copy(bench, plane.spool)
        began = time.monotonic()
        # The folder of A is shared by all four too: who comes first takes a dead process's segments.
        await asyncio.gather(*(bench.proxies[name].start() for name in names))
        await bench.idle(60)
        replayed_s = time.monotonic() - began
        await asyncio.gather(*(bench.proxies[name].kill() for name in names))
        for name in names:
            bench.proxies[name].process.env["SYNAXIS__USAGE__SPOOL_DIR"] = str(bench.a.spool)
        await asyncio.gather(*(bench.proxies[name].start() for name in names))
        await until("one folder is emptied by four", _emptied(bench), 60)
        report, ledgers = await conclude(bench, tally)
        return report.add(
            zero("deadlocks", await _deadlocks(bench) - deadlocks),
            Figure("rows a second", 4 * len(ledgers.rows) / replayed_s),
        )


def _copy(bench: Bench, spool: Path) -> None:
    spool.mkdir(parents=True)
    for dead in (bench.a, bench.b):
        segments = list(dead.spool.iterdir())
        random.shuffle(segments)
        for segment in segments:
            shutil.copy(segment, spool / segment.name)


def _emptied(bench: Bench) -> Callable[[], Awaitable[bool]]:
    async def is_emptied() -> bool:
        # What is left are the segments the four write themselves.
        return len([path for path in bench.a.spool.iterdir() if path.stat().st_size]) <= 4

    return is_emptied


async def _deadlocks(bench: Bench) -> int:
    query = "select deadlocks as n from pg_stat_database where datname = current_database()"
    return int((await bench.ask(query))[0]["n"])


@case("F57", "the books refuse one call among a thousand")
async def poison(stage: Stage) -> Report:
    async with stage.bench(Spec(price=DEAR)) as bench:
        key = await bench.tenant.key(limits=WIDE)
        refuse = "alter table operations.usage_entries add constraint poison_ck check (client_request_id <> 'poison')"
        await bench.ask(refuse)
        await Crowd([bench.a.port], [key.text], callers=1, most_calls=1).run(10)
        await bench.idle()
        await bench.spoil("postgres", Toxics(is_down=True))
        calls = 1000
        tally = await Crowd([bench.a.port], [key.text], callers=50, most_calls=calls - 1).run(60)
        headers = {"authorization": f"Bearer {key.text}", "content-type": "application/json", "x-request-id": "poison"}
        tally.note(await Client().ask(bench.a.port, "POST", "/v1/chat/completions", headers, Words().body()), key.text)
        await bench.mend("postgres")
        report, ledgers = await conclude(bench, tally)
        report.dead_letters = 1
        told = await bench.a.metric("synaxis_usage_dead_letters_total")
        return report.add(
            Figure("stored of 1,001", len(ledgers.rows), least=calls, most=calls),
            Figure("dead letters counted", told, least=1, most=1),
        )
