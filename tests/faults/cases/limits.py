"""Limits under load, with nothing else wrong: what they admit, what a refusal leaves alone, what usage may claim."""

import asyncio
import time

from ..bench import Bench, Spec
from ..case import Stage, case
from ..load import Client, Crowd, Words
from ..mint import mint
from ..report import Figure, Report, apart, conclude, counted, zero
from ..tenant import Key, Terms
from ..truth import Limited, Price

DOLLAR = 1_000_000_000
MINUTE_MS = 60_000
# Of a price at which each token counts, however it is counted.
DEAR = Price(input=3 * DOLLAR, output=15 * DOLLAR)
# Limits that are never reached: their counters can be compared with the truth.
WIDE = [Terms("requests", "day", 10**9), Terms("total_tokens", "day", 10**12), Terms("nano_usd", "month", 10**15)]


@case("F1", "200 callers at two proxies, one key of 50 calls a minute")
async def one_key_many_callers(stage: Stage) -> Report:
    async with stage.bench() as bench:
        key = await bench.tenant.key(limits=[Terms("requests", "minute", 50)])
        seconds = stage.span(180, 75)
        tally = await Crowd(bench.doors, [key.text], callers=200, longest_wait_s=2.0).run(seconds)
        minute = Limited("a minute", 50, MINUTE_MS, lambda sent: 1)
        report, ledgers = await conclude(bench, tally, expected=("200", "429"), limits=(minute,))
        used = minute.used(ledgers.sent, {})
        return report.add(
            Figure("largest minute / limit", used / 50, most=1.0),
            Figure("admitted a minute", len(ledgers.sent) / seconds * 60, least=0.9 * 50),
            zero("refusals without Retry-After", tally.denied_without_wait),
        )


@case("F2", "a budget of a dollar, 0.02 held and 0.012 used each time, 100 callers at two proxies")
async def budget(stage: Stage) -> Report:
    price = Price(input=0, output=200 * DOLLAR)
    async with stage.bench(Spec(price=price)) as bench:
        key = await bench.tenant.key(limits=[Terms("nano_usd", "month", DOLLAR)])
        words = Words(tokens=60, most=100)
        crowd = Crowd(bench.doors, [key.text], callers=100, words=words, longest_wait_s=0.5)
        tally = await crowd.run(stage.span(20, 8))
        spend = Limited("a month", DOLLAR, None, price.of_sent)
        report, ledgers = await conclude(bench, tally, expected=("200", "429", "402"), limits=(spend,))
        return report.add(Figure("utilisation", spend.used(ledgers.sent, {}) / DOLLAR, least=0.95))


@case("F4", "a group's limit is used up, those of its key and organization are not: 1 000 refusals")
async def refusals_cost_nothing(stage: Stage) -> Report:
    async with stage.bench(Spec(price=DEAR)) as bench:
        tenant = bench.tenant
        group = await tenant.group("Spent")
        key = await tenant.key(limits=WIDE, group=group)
        for terms in WIDE:
            await tenant.limit("organization", terms)
        await tenant.limit("group", Terms("requests", "day", 10), group_id=group)
        first = await Crowd(bench.doors, [key.text], callers=5, longest_wait_s=0.1).run(2)
        await bench.idle()
        before = await counted(bench, key)
        crowd = Crowd(bench.doors, [key.text], callers=50, longest_wait_s=0.0, most_calls=1000)
        tally = await crowd.run(60)
        report, _ = await conclude(bench, tally, expected=("429",))
        after = await counted(bench, key)
        moved = sum(abs(used - before[name]) for name, used in after.items())
        return report.add(
            Figure("admitted before", first.good, least=10, most=10),
            Figure("refusals", tally.outcomes["429"], least=1000),
            zero("moved on other counters", moved),
        )


# How a provider misreports usage, and what the rows must be then: its own words (it will bill them), true, or at least
# marked as an estimate.
_LIES = {
    "ten-fold": "as told",
    "negative": "estimated",
    "text": "estimated",
    "none": "estimated",
    "twice": "true",
    "each": "true",
    "late": "true or estimated",
}


@case("F6", "usage told ten-fold, negative, as text, twice, in each event, after the end, not at all")
async def lies_about_usage(stage: Stage) -> Report:
    async with stage.bench(Spec(price=DEAR)) as bench:
        key = await bench.tenant.key(limits=WIDE)
        calls = stage.times(40, 10)
        figures = []
        for lie, wanted in _LIES.items():
            await bench.upstream.misbehave(f"usage={lie}")
            for is_stream in (False, True):
                name = f"{lie}{', streamed' if is_stream else ''}: rows not {wanted}"
                figures.append(zero(name, await _wrong(bench, key, wanted, is_stream, calls)))
        report, ledgers = await conclude(bench)
        report.is_priced_by_truth = False
        overruns = sum([await plane.metric("synaxis_quota_overruns_total") for plane in bench.proxies.values()])
        return report.add(
            *figures,
            (await apart(bench, key, ledgers))[0],
            Figure("overruns counted", overruns, least=2 * calls),
        )


async def _wrong(bench: Bench, key: Key, wanted: str, is_stream: bool, calls: int) -> int:
    """Makes some calls and returns how many of their rows are not what they must be."""
    before = {row.request_id for row in (await bench.ledgers()).rows}
    words = Words(tokens=20, most=64, is_stream=is_stream)
    tally = await Crowd(bench.doors, [key.text], callers=4, words=words, most_calls=calls).run(30)
    await bench.idle()
    ledgers = await bench.ledgers()
    truth = {call.request_id: bench.spec.price.of_sent(call) for call in ledgers.sent}
    rows = [row for row in ledgers.rows if row.request_id not in before]
    wrong = tally.calls - tally.good
    for row in rows:
        is_true = row.cost == truth[row.request_id]
        fits = {"as told": True, "estimated": row.is_estimated, "true": is_true}
        wrong += not fits.get(wanted, is_true or row.is_estimated)
    return wrong


@case("F24", "an operator lowers a limit under load, and raises it again")
async def changed_limit(stage: Stage) -> Report:
    async with stage.bench() as bench:
        key = await bench.tenant.key()
        limit = await bench.tenant.limit("key", Terms("requests", "minute", 1_000_000), key_id=key.id)
        crowds = [Crowd([door], [key.text], callers=20, rate=50, longest_wait_s=0.1) for door in bench.doors]
        calling = [crowd.begin() for crowd in crowds]
        await asyncio.sleep(stage.span(6, 4))
        lowered = time.time()
        await bench.tenant.change_limit(limit, 1)
        await asyncio.sleep(8)
        raised = time.time()
        await bench.tenant.change_limit(limit, 1_000_000)
        await asyncio.sleep(6)
        for crowd in crowds:
            crowd.stop()
        tallies = await asyncio.gather(*calling)
        last = max(at - lowered for tally in tallies for at, _ in tally.answered if at < raised)
        first = max(min(at - raised for at, _ in tally.answered if raised < at) for tally in tallies)
        for tally in tallies[1:]:
            tallies[0].add(tally)
        report, _ = await conclude(bench, tallies[0], expected=("200", "429"))
        return report.add(
            Figure("s until both obey less", max(0.0, last), most=5),
            Figure("s until both permit more", first, most=5),
        )


@case("F26", "20 000 keys, each used once")
async def many_keys(stage: Stage) -> Report:
    async with stage.bench() as bench:
        keys = await mint(bench, stage.times(20_000, 2_000))
        empty = int((await bench.redis.info("memory"))["used_memory"])
        tenth = len(keys) // 10
        first_us = await _use(bench, keys[:tenth])
        await _use(bench, keys[tenth:-tenth])
        last_us = await _use(bench, keys[-tenth:])
        report, _ = await conclude(bench, patience_s=60)
        used = int((await bench.redis.info("memory"))["used_memory"]) - empty
        immortal = await bench.redis.ask("EVAL", _IMMORTAL, 0)
        return report.add(
            Figure("bytes a key", used / len(keys), most=3_000),
            Figure("µs a script at first", first_us),
            Figure("µs a script at last", last_us, most=max(1.5 * first_us, first_us + 30)),
            zero("keys that never expire", immortal),
        )


_IMMORTAL = """
local cursor, found = '0', 0
repeat
  local page = redis.call('SCAN', cursor, 'COUNT', 1000)
  cursor = page[1]
  for _, key in ipairs(page[2]) do if redis.call('TTL', key) < 0 then found = found + 1 end end
until cursor == '0'
return found
"""


async def _use(bench: Bench, keys: list[str]) -> float:
    """Calls once with each key; returns how long Redis took for a script."""
    before = await _scripts(bench)
    client_of = [Client() for _ in range(32)]
    turn = iter(keys)

    async def caller(client: Client) -> None:
        for number, key in enumerate(turn):
            headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
            door = bench.doors[number % 2]
            answer = await client.ask(door, "POST", "/v1/chat/completions", headers, Words(tokens=1).body())
            assert answer.status == 200, (answer.outcome, answer.body)

    await asyncio.gather(*(caller(client) for client in client_of))
    calls, us = (after - earlier for after, earlier in zip(await _scripts(bench), before, strict=True))
    return us / max(calls, 1)


async def _scripts(bench: Bench) -> tuple[float, float]:
    line = (await bench.redis.info("commandstats")).get("cmdstat_evalsha", "calls=0,usec=0")
    fields = dict(part.split("=") for part in line.split(","))
    return float(fields["calls"]), float(fields["usec"])
