"""What a case found: figures with their bounds, and the standard ones every case has."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

from .bench import Bench
from .control import Calm
from .load import Tally
from .tenant import Key, standings
from .truth import Comparison, Ledgers, Limited, compare

# How long counters may be above the truth after a loss.
_RECONCILED_S = 60.0


@dataclass(frozen=True)
class Figure:
    """A number, and what it must be."""

    name: str
    value: float
    least: float | None = None
    most: float | None = None

    @property
    def is_good(self) -> bool:
        """Whether it is within its bounds."""
        return not (
            (self.least is not None and self.value < self.least) or (self.most is not None and self.most < self.value)
        )

    def __str__(self) -> str:
        shown = f"{self.value:,.0f}" if self.value == int(self.value) else f"{self.value:,.3f}"
        bounds = [f"≥ {self.least:g}"] if self.least is not None else []
        if self.most is not None:
            bounds.append(f"= {self.most:g}" if self.most == self.least else f"≤ {self.most:g}")
        told = f" ({', '.join(bounds)})" if bounds else ""
        if self.least is not None and self.least == self.most:
            told = f" (= {self.most:g})"
        return f"{self.name} {shown}{told}{'' if self.is_good else ' ✗'}"


def zero(name: str, value: float) -> Figure:
    """A number that must be nothing."""
    return Figure(name, value, least=0, most=0)


@dataclass
class Report:
    """What a case found."""

    # Of the standard row.
    comparison: Comparison | None = None
    overshoot: float | None = None
    errors: Counter[str] = field(default_factory=Counter)
    calm: Calm | None = None
    grown_mb: float = 0.0
    grown_fds: int = 0
    leaked: int = 0
    panics: list[str] = field(default_factory=list)
    # Whether upstreams told the truth about usage.
    is_priced_by_truth: bool = True
    # How many dead letters there must be.
    dead_letters: int = 0
    # Of the case.
    figures: list[Figure] = field(default_factory=list)

    def add(self, *figures: Figure) -> "Report":
        """Adds figures of the case's own."""
        self.figures += figures
        return self

    def judged(self) -> list[Figure]:
        """Every figure that has a bound, the standard ones among them."""
        found = [zero("leaked leases", self.leaked), zero("panics", len(self.panics))]
        found.append(zero("unexpected answers", sum(self.errors.values())))
        if self.overshoot is not None:
            found.append(zero("overshoot", self.overshoot))
        if self.comparison:
            one = self.comparison
            found += [zero("missing", one.missing), zero("duplicates", one.duplicates), zero("invented", one.invented)]
            found += [zero("short", one.short), zero("roll-up", one.roll_up)]
            found += [Figure("dead letters", one.dead, self.dead_letters, self.dead_letters)]
            found += [zero("mispriced", one.mispriced)] if self.is_priced_by_truth else []
        return found + self.figures

    @property
    def is_good(self) -> bool:
        """Whether every figure is within its bounds."""
        return all(figure.is_good for figure in self.judged())


async def conclude(
    bench: Bench,
    tally: Tally | None = None,
    *,
    expected: tuple[str, ...] = ("200",),
    limits: tuple[Limited, ...] = (),
    keys: tuple[Key, ...] = (),
    patience_s: float = 30.0,
) -> tuple[Report, Ledgers]:
    """Waits until the bench has come to rest, and compares its ledgers."""
    await bench.idle(patience_s)
    calm = await bench.end_control()
    ledgers = await bench.ledgers()
    key_of = ledgers.key_of()
    overshoot = max((max(0, limit.used(ledgers.sent, key_of) - limit.amount) for limit in limits), default=None)
    grown_mb, grown_fds = bench.growth()
    report = Report(
        comparison=compare(ledgers, bench.spec.price),
        overshoot=overshoot,
        errors=tally.other_than(*expected) if tally else Counter(),
        calm=calm,
        grown_mb=grown_mb,
        grown_fds=grown_fds,
        leaked=await bench.leaked(list(keys)),
        panics=bench.panics(),
    )
    return report.add(zero("faults of the books", await bench.faults_of_books())), ledgers


async def apart(bench: Bench, key: Key, ledgers: Ledgers, of: str | None = None) -> list[Figure]:
    """Compares what Redis counts for a key with what was sent: in all its days and months, or those of one subject.

    What was used and is not counted could be used again; what is counted and was not used is lost to its owner.
    """
    price = bench.spec.price
    answered = [call for call in ledgers.sent if call.was_answered]
    charged = sum(row.charged for row in ledgers.rows)
    truth = {
        "requests": len({call.request_id for call in answered}),
        "input_tokens": sum(call.input_tokens for call in answered) + charged,
        "output_tokens": sum(call.output_tokens for call in answered),
        "total_tokens": sum(call.input_tokens + call.output_tokens for call in answered) + charged,
        "nano_usd": sum(price.of_sent(call) for call in answered),
    }
    used = {name: amount for name, amount in (await counted(bench, key)).items() if of in (None, name.split()[0])}
    off = {name: amount - truth[name.split()[1]] for name, amount in used.items()}
    below = zero("used and not counted", sum(max(0, -difference) for difference in off.values()))
    return [below, *(zero(f"counted and not used: {name}", max(0, difference)) for name, difference in off.items())]


async def apart_in_the_end(bench: Bench, key: Key, ledgers: Ledgers, of: str | None = None) -> list[Figure]:
    """The same, once what a loss of Redis counted twice was put right: within some rounds of whoever compares the counters
    with the books."""
    began = time.monotonic()
    while True:
        off = await apart(bench, key, ledgers, of)
        if all(figure.is_good for figure in off) or began + _RECONCILED_S < time.monotonic():
            return [*off, Figure("s until that", time.monotonic() - began, most=_RECONCILED_S)]
        await asyncio.sleep(1)


async def counted(bench: Bench, key: Key) -> dict[str, int]:
    """Reads what Redis counts in each of a key's days and months."""
    living = next(plane for plane in bench.proxies.values() if plane.process.is_alive)
    lines = await standings(living.port, key)
    return {f"{line.of} {line.meter} {line.window}": line.used for line in lines if line.window in ("day", "month")}
