"""Everything at once: a thousand callers, limits of every kind, and five minutes of random deaths."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ..bench import Bench, Spec
from ..case import Stage, case
from ..load import Crowd, Tally, Words
from ..planes import Plane, Sent
from ..report import Figure, Report, conclude
from ..tenant import Key, Terms
from ..truth import Ledgers, Limited, Price, most_at_once
from .deaths import BROKEN
from .limits import MINUTE_MS

HOUR_MS = 60 * MINUTE_MS
_PRICE = Price(input=3_000_000_000, output=15_000_000_000)
# What one call truly uses: its words are always the same.
_INPUT, _OUTPUT = 7, 20
_KEYS = 10
# How many calls a second each group could make; its day or month is spent when three quarters of the time are over.
_GROUP_RATE = 100
_CALLERS = 1000


@dataclass(frozen=True)
class Subject:
    """Whose limit, and which keys count for it."""

    kind: str
    of: dict[str, str]
    keys: frozenset[str]


@dataclass(frozen=True)
class Bound:
    """A limit, as it was made and as it is judged."""

    terms: Terms
    limited: Limited
    keys: frozenset[str]
    # Whether callers want more than it permits.
    is_wanted: bool


@case(
    "crowd", "1 000 callers, limits of every kind, proxies, Redis and Postgres killed at random for five minutes", True
)
async def crowd(stage: Stage) -> Report:
    seconds = stage.span(300, 60)
    spec = Spec(price=_PRICE, upstream=["--latency-ms", "50", "--tokens-per-second", "200"])
    async with stage.bench(spec) as bench:
        keys, bounds = await _tenant(bench, seconds)
        crowds = [_callers(bench, keys, share) for share in ("whole", "streamed", "left")]
        calling = [one.begin() for one in crowds]
        deaths = await _die(bench, seconds)
        await asyncio.sleep(stage.span(20, 10))
        for one in crowds:
            one.stop()
        tally = Tally()
        for ended in calling:
            tally.add(await ended)
        limits = tuple(bound.limited for bound in bounds if bound.terms.meter != "concurrent")
        every = tuple(key for group in keys.values() for key in group)
        report, ledgers = await conclude(
            bench, tally, expected=(*BROKEN, "402", "left"), limits=limits, keys=every, patience_s=90
        )
        report.add(*_fullest(bounds, ledgers), *_utilisation(bounds, ledgers))
        report.add(*(Figure(f"deaths of {name}", count, least=1) for name, count in sorted(deaths.items())))
        finishes = sorted(ledgers.finishes().items())
        return report.add(*(Figure(f"calls {name}", count) for name, count in finishes))


def _fullest(bounds: list[Bound], ledgers: Ledgers) -> list[Figure]:
    """How much upstreams saw of each kind of limit at most, as a share of it."""
    key_of = ledgers.key_of()
    fullest: dict[str, float] = {}
    arrived: dict[str, float] = {}
    for bound in bounds:
        limit, amount = bound.limited, bound.terms.amount
        if bound.terms.meter == "concurrent":
            used = most_at_once([call for call in ledgers.sent if key_of.get(call.request_id) in bound.keys])
        else:
            used = limit.used(ledgers.sent, key_of)
            late = limit.used(ledgers.sent, key_of, as_it_arrived=True)
            arrived[limit.name] = max(arrived.get(limit.name, 0.0), late / amount)
        fullest[limit.name] = max(fullest.get(limit.name, 0.0), used / amount)
    found = [Figure(f"{name}: most used / limit", share, most=1.0) for name, share in fullest.items()]
    return found + [Figure(f"{name}: as it arrived", share) for name, share in arrived.items() if 1 < share]


def _utilisation(bounds: list[Bound], ledgers: Ledgers) -> list[Figure]:
    """How much of each limit that callers want more of is booked: what died is booked at what it may have used."""
    found = []
    for bound in bounds:
        rows = [row for row in ledgers.rows if row.api_key_id in bound.keys]
        booked = {
            "requests": len(rows),
            "total_tokens": sum(row.input_tokens + row.output_tokens for row in rows),
            "nano_usd": sum(row.cost for row in rows),
        }
        if bound.is_wanted:
            share = booked[bound.terms.meter] / bound.terms.amount
            found.append(Figure(f"{bound.limited.name}: booked / limit", share, least=0.95))
    return found


# Who is limited by what.


async def _tenant(bench: Bench, seconds: float) -> tuple[dict[str, list[Key]], list[Bound]]:
    """Makes three groups of keys, one spent by its tokens, one by its money, one by its calls."""
    calls = int(_GROUP_RATE * seconds * 0.75)
    keys: dict[str, list[Key]] = {}
    bounds: list[Bound] = []
    groups: list[tuple[str, list[Terms], Terms]] = [
        ("tokens", [Terms("requests", "minute", 60_000)], _hard("total_tokens", "day", calls * (_INPUT + _OUTPUT))),
        ("money", [_hard("output_tokens", "hour", 10**9)], Terms("nano_usd", "month", calls * _cost())),
        ("calls", [Terms("concurrent", "instant", 60)], Terms("requests", "day", calls)),
    ]
    for name, more, wanted in groups:
        group = await bench.tenant.group(name)
        made = [await bench.tenant.key(f"{name} {number}", group=group) for number in range(_KEYS)]
        keys[name] = made
        subject = Subject("group", {"group_id": group}, frozenset(key.id for key in made))
        bounds += [await _limit(bench, subject, name, terms, terms is wanted) for terms in (*more, wanted)]
        for key in made:
            own = Subject("key", {"key_id": key.id}, frozenset({key.id}))
            for terms in _of_key(name):
                bounds.append(await _limit(bench, own, f"each key of {name}", terms, False))
    everybody = frozenset(key.id for made in keys.values() for key in made)
    organization = Subject("organization", {}, everybody)
    minute = Terms("requests", "minute", 3 * _GROUP_RATE * 60)
    for terms in (minute, _hard("input_tokens", "hour", 10**9), Terms("nano_usd", "day", 10**13)):
        bounds.append(await _limit(bench, organization, "organization", terms, False))
    return keys, bounds


def _of_key(group: str) -> list[Terms]:
    """A key's own limits: each group's keys have other kinds, and only the last ones count what is in flight."""
    share = 60 * _GROUP_RATE // _KEYS
    if group == "tokens":
        return [_hard("total_tokens", "minute", 3 * share * 154), Terms("requests", "day", 10**6)]
    if group == "money":
        return [Terms("requests", "hour", 10**6), _hard("output_tokens", "minute", 3 * share * 64)]
    return [
        Terms("concurrent", "instant", 12),
        Terms("requests", "minute", 2 * share),
        Terms("nano_usd", "day", 10**12),
    ]


def _hard(meter: str, window: str, amount: int) -> Terms:
    return Terms(meter, window, amount, enforcement="hard")


def _cost() -> int:
    return _PRICE.of(_INPUT, _OUTPUT)


async def _limit(bench: Bench, subject: Subject, name: str, terms: Terms, is_wanted: bool) -> Bound:
    await bench.tenant.limit(subject.kind, terms, **subject.of)
    window_ms = {"minute": MINUTE_MS, "hour": HOUR_MS}.get(terms.window)
    told = f"{name}: {terms.meter} {'at once' if terms.window == 'instant' else f'a {terms.window}'}"
    limited = Limited(told, terms.amount, window_ms, _WEIGHTS.get(terms.meter, _none), subject.keys)
    return Bound(terms, limited, subject.keys, is_wanted)


def _none(sent: Sent) -> int:
    return 0


_WEIGHTS: dict[str, Callable[[Sent], int]] = {
    "requests": lambda sent: 1,
    "input_tokens": lambda sent: sent.input_tokens if sent.was_answered else 0,
    "output_tokens": lambda sent: sent.output_tokens,
    "total_tokens": lambda sent: sent.output_tokens + (sent.input_tokens if sent.was_answered else 0),
    "nano_usd": _PRICE.of_sent,
}


# Who calls, and who dies.


def _callers(bench: Bench, keys: dict[str, list[Key]], share: str) -> Crowd:
    """Most callers want whole answers, some stream, some leave in the middle."""
    callers = {"whole": 600, "streamed": 350, "left": 50}[share]
    words = Words(tokens=_OUTPUT, most=30, is_stream=share != "whole")
    texts = [key.text for pair in zip(*keys.values(), strict=True) for key in pair]
    leave_after = 600 if share == "left" else 0
    return Crowd(bench.doors, texts, callers, words, longest_wait_s=4.0, leave_after=leave_after)


async def _die(bench: Bench, seconds: float) -> Counter[str]:
    """Kills one process after the other, each brought back before the next dies."""

    async def proxy(plane: Plane) -> None:
        await plane.kill()
        await plane.start(60)

    async def redis() -> None:
        await bench.redis.process.kill()
        bench.redis.forget()
        await asyncio.sleep(random.uniform(0, 1))
        await bench.redis.start()

    async def postgres() -> None:
        await bench.postgres.kill()
        await asyncio.sleep(random.uniform(0.5, 3))
        await bench.postgres.start()

    deaths: dict[str, Callable[[], Awaitable[None]]] = {
        "proxy A": lambda: proxy(bench.a),
        "proxy B": lambda: proxy(bench.b),
        "Redis": redis,
        "Postgres": postgres,
    }
    loop = asyncio.get_running_loop()
    until, died, turn = loop.time() + seconds, Counter[str](), list[str]()
    while loop.time() < until:
        await asyncio.sleep(random.uniform(2, 5))
        # Everybody in turn, each time in another order.
        turn = turn or random.sample(list(deaths), len(deaths))
        name = turn.pop()
        await deaths[name]()
        died[name] += 1
    return died
