"""Clocks that are wrong, and clocks that come to an edge: midnight, the end of a month."""

import asyncio
import calendar
import time
from datetime import UTC, datetime, timedelta

from ..bench import Bench, Spec
from ..case import Stage, case
from ..clock import Clock, ahead_of
from ..load import Client, Crowd, Words
from ..process import until
from ..report import Figure, Report, apart, conclude, zero
from ..tenant import Key, Terms, standings
from ..truth import Limited, most_at_once, most_in_window
from .limits import DEAR, MINUTE_MS, WIDE

DAY_MS = 86_400_000
# What is started before a case's own clock counts.
_STARTING_S = 8.0


def _midnight() -> datetime:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today + timedelta(days=1)


@case("F7", "a minute and a day come to their edge at 00:00 UTC under load")
async def midnight(stage: Stage) -> Report:
    clock = Clock(stage.machine.folder)
    edge = _midnight()
    lead_s = stage.span(60, 20)
    clock.set(ahead_of(edge, _STARTING_S + lead_s))
    async with stage.bench(Spec(price=DEAR, environment=clock.of("A", "B", "redis", "upstream"))) as bench:
        minutely = await bench.tenant.key("minutely", limits=[Terms("requests", "minute", 60)])
        daily = await bench.tenant.key("daily", limits=[Terms("requests", "day", 150)])
        crowds = [Crowd(bench.doors, [key.text], callers=20, longest_wait_s=0.5) for key in (minutely, daily)]
        tallies = await asyncio.gather(*(crowd.run(lead_s + stage.span(90, 50)) for crowd in crowds))
        tallies[0].add(tallies[1])
        minute = Limited("a minute", 60, MINUTE_MS, lambda sent: 1, frozenset({minutely.id}))
        report, ledgers = await conclude(bench, tallies[0], expected=("200", "429"), limits=(minute,))
        edge_ms = int(edge.timestamp() * 1000)
        at = [call.at_ms for call in ledgers.of(daily.id).sent]
        return report.add(
            Figure("largest minute / limit", minute.used(ledgers.sent, ledgers.key_of()) / 60, most=1.0),
            Figure("calls of the day before", sum(moment < edge_ms for moment in at), least=150, most=150),
            Figure("calls of the day after", sum(edge_ms <= moment for moment in at), least=150, most=150),
            Figure(
                "s from midnight to the first",
                (min(moment for moment in at if edge_ms <= moment) - edge_ms) / 1000,
                most=5,
            ),
        )


@case("F9", "Redis's clock jumps an hour ahead, and back again")
async def jumping_redis(stage: Stage) -> Report:
    clock = Clock(stage.machine.folder)
    async with stage.bench(Spec(price=DEAR, environment=clock.of("redis"))) as bench:
        key = await bench.tenant.key(limits=[Terms("requests", "minute", 60)])
        slots = await bench.tenant.key("slots", limits=[Terms("concurrent", "instant", 5)])
        crowds = [Crowd(bench.doors, [one.text], callers=20, longest_wait_s=0.5) for one in (key, slots)]
        crowds[1].words = Words(tokens=1, most=4)
        calling = [crowd.begin() for crowd in crowds]
        await bench.upstream.misbehave("slow=100")
        await asyncio.sleep(20)
        clock.set(3600)
        ahead = time.time()
        await asyncio.sleep(stage.span(75, 66))
        clock.set(0)
        back = time.time()
        await asyncio.sleep(stage.span(75, 66))
        for crowd in crowds:
            crowd.stop()
        tallies = [await one for one in calling]
        answered = [at for at, _ in tallies[0].answered]
        tallies[0].add(tallies[1])
        minute = Limited("a minute", 60, MINUTE_MS, lambda sent: 1, frozenset({key.id}))
        report, ledgers = await conclude(bench, tallies[0], expected=("200", "429", "503"), limits=(minute,))
        return report.add(
            Figure("largest minute / limit", minute.used(ledgers.sent, ledgers.key_of()) / 60, most=1.0),
            Figure("s to the first call after the jump ahead", _first(answered, ahead), most=65),
            Figure("s to the first call after the jump back", _first(answered, back), most=65),
            Figure("most calls at once", most_at_once(ledgers.of(slots.id).sent), most=5),
            Figure("calls in the minute after both", sum(back + 3 <= at < back + 66 for at in answered), least=54),
        )


def _first(moments: list[float], since: float) -> float:
    return min((at - since for at in moments if since < at), default=999.0)


@case("F10", "one proxy's clock is ten minutes ahead, then ten behind")
async def skewed_proxy(stage: Stage) -> Report:
    clock = Clock(stage.machine.folder)
    clock.set(600)
    async with stage.bench(Spec(price=DEAR, environment=clock.of("B"))) as bench:
        disagreed = 0
        figures: list[Figure] = []
        for ahead_s in (600, -600):
            clock.set(ahead_s)
            key = await bench.tenant.key(f"key {ahead_s}", limits=[*WIDE, Terms("requests", "minute", 30)])
            disagreed += await _same_decisions(bench, key)
            both = [await standings(door, key) for door in bench.doors]
            disagreed += sum(one != other for one, other in zip(*both, strict=True))
            figures += [figure for figure in await _exact(bench, key) if not figure.is_good]
        report, ledgers = await conclude(bench)
        sent_at = {call.request_id: call.at_ms for call in ledgers.sent}
        far = [row for row in ledgers.rows if 605_000 < abs(row.at_ms - sent_at[row.request_id])]
        keys = {row.api_key_id for row in ledgers.rows}
        arrived = {key: [call.at_ms for call in ledgers.of(key).sent] for key in keys}
        fullest = max(most_in_window(((at, at, 1) for at in arrived[key]), MINUTE_MS) for key in keys)
        return report.add(
            zero("decisions that differ", disagreed),
            zero("rows further away than the clock was wrong", len(far)),
            Figure("largest minute / limit", fullest / 30, most=1.0),
            *figures,
        )


async def _exact(bench: Bench, key: Key) -> list[Figure]:
    await bench.idle()
    return await apart(bench, key, (await bench.ledgers()).of(key.id), of="key")


async def _same_decisions(bench: Bench, key: Key) -> int:
    """Spends a minute's limit at once, and returns how often a proxy then decides otherwise than it must."""
    await Crowd(bench.doors, [key.text], callers=10, most_calls=30).run(10)
    spent = time.monotonic()
    wrong = 0
    client = Client()
    headers = {"authorization": f"Bearer {key.text}", "content-type": "application/json"}
    while time.monotonic() < spent + 66:
        waited = time.monotonic() - spent
        for door in bench.doors:
            answer = await client.ask(door, "POST", "/v1/chat/completions", headers, Words().body())
            # The burst took some of the first second; a slot of the window is two and a half.
            if (waited < 57 and answer.status != 429) or (64.5 < waited and answer.status != 200):
                wrong += 1
        await asyncio.sleep(0.5)
    return wrong


@case("F50", "23:59:50 on the last of a month, and the next month's partitions are not there")
async def next_month(stage: Stage) -> Report:
    clock = Clock(stage.machine.folder)
    now = datetime.now(UTC)
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    edge = first + timedelta(days=calendar.monthrange(now.year, now.month)[1])
    clock.set(ahead_of(edge, _STARTING_S + 10))
    async with stage.bench(Spec(price=DEAR, environment=clock.of("A", "B", "redis", "upstream"))) as bench:
        key = await bench.tenant.key(limits=WIDE)
        crowd = Crowd(bench.doors, [key.text], callers=20, rate=60)
        calling = crowd.begin()
        await asyncio.sleep(1)
        dropped = await bench.ask("select partition::text as name from platform.months() where begins > now()")
        await bench.ask("".join(f"drop table {line['name']};" for line in dropped))
        edge_ms = int(edge.timestamp() * 1000)
        query = f"select count(*) as n from operations.usage_entries where at >= to_timestamp({edge_ms} / 1000.0)"

        async def has_sent() -> bool:
            return any(edge_ms <= call.at_ms for call in bench.upstream.sent())

        async def is_booked() -> bool:
            return 0 < int((await bench.ask(query))[0]["n"])

        await until("the month begins", has_sent, 40)
        delayed_s = await until("its first row", is_booked, 30)
        await asyncio.sleep(5)
        crowd.stop()
        report, ledgers = await conclude(bench, await calling)
        after = [row for row in ledgers.rows if edge_ms <= row.at_ms]
        return report.add(
            Figure("months that were missing", len(dropped), least=1),
            Figure("rows of the new month", len(after), least=1),
            Figure("s until its first row", delayed_s, most=5),
        )
