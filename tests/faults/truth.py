"""The three ledgers side by side: what upstreams truly sent, what Postgres booked, what Redis counts."""

import bisect
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from .planes import Sent

_ROWS = """
select request_id, api_key_id, finish, status, is_estimated, input_tokens, output_tokens, cost_nano_usd,
    (extract(epoch from at) * 1000)::bigint as at_ms,
    (select coalesce(sum((a -> 'charged' ->> 'input_tokens')::bigint), 0) from jsonb_array_elements(attempts) a) as charged
from operations.usage_entries
where requested_model <> 'calm'
"""

# A provider notes the end of a call once it is rid of it; its reader may have gone on some milliseconds before.
_LATE_MS = 25

_ROLL_UP = """
select coalesce(sum(requests), 0) as requests, coalesce(sum(cost_nano_usd), 0) as cost
from operations.usage_hourly h
where model_id is distinct from (select id from platform.models where name = 'calm')
"""


@dataclass(frozen=True)
class Row:
    """One call as it is booked."""

    request_id: str
    api_key_id: str
    finish: str
    status: int
    is_estimated: bool
    input_tokens: int
    output_tokens: int
    cost: int
    at_ms: int
    # The tokens its failed attempts were charged for.
    charged: int

    @classmethod
    def of(cls, line: dict[str, str]) -> "Row":
        """Reads what psql printed."""
        return cls(
            request_id=line["request_id"],
            api_key_id=line["api_key_id"],
            finish=line["finish"],
            status=int(line["status"]),
            is_estimated=line["is_estimated"] == "t",
            input_tokens=int(line["input_tokens"]),
            output_tokens=int(line["output_tokens"]),
            cost=int(line["cost_nano_usd"]),
            at_ms=int(line["at_ms"]),
            charged=int(line["charged"]),
        )


@dataclass(frozen=True)
class Price:
    """Nano-dollars per million tokens."""

    input: int
    output: int

    def of(self, input_tokens: int, output_tokens: int) -> int:
        """What so many cost, rounded up."""
        return -(-(input_tokens * self.input + output_tokens * self.output) // 1_000_000)

    def of_sent(self, sent: Sent) -> int:
        """What a call truly cost."""
        return self.of(sent.input_tokens, sent.output_tokens) if sent.was_answered else 0


@dataclass
class Ledgers:
    """What the three ledgers say at one moment."""

    sent: list[Sent] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    # Calls and nano-dollars.
    roll_up: tuple[int, int] = (0, 0)
    # The calls among the dead letters.
    dead: set[str] = field(default_factory=set)

    def key_of(self) -> dict[str, str]:
        """Whose each call was: only the books know."""
        return {row.request_id: row.api_key_id for row in self.rows}

    def of(self, key: str) -> "Ledgers":
        """What they say of one key's calls."""
        key_of = self.key_of()
        sent = [call for call in self.sent if key_of.get(call.request_id) == key]
        return Ledgers(sent, [row for row in self.rows if row.api_key_id == key])

    def finishes(self) -> Counter[str]:
        """How the booked calls ended."""
        return Counter(row.finish for row in self.rows)


@dataclass(frozen=True)
class Comparison:
    """How far the books are from what upstreams saw. Every number here must be zero, but for what was abandoned."""

    calls: int
    rows: int
    missing: int
    duplicates: int
    # Calls that are kept for a person because the books refused them.
    dead: int
    # Rows of calls no upstream saw, which are not abandoned ones.
    invented: int
    abandoned: int
    # Nano-dollars that calls booked as complete cost less, or more, than what was sent.
    mispriced: int
    # Nano-dollars by which calls were booked below what was sent. Not of callers who left: what their provider had
    # written and we had not read is known to nobody else.
    short: int
    # Calls and nano-dollars by which the roll-up differs from its rows.
    roll_up: int


def compare(ledgers: Ledgers, price: Price) -> Comparison:
    """Compares what was sent with what is booked."""
    truth: dict[str, int] = {}
    for call in ledgers.sent:
        truth[call.request_id] = truth.get(call.request_id, 0) + price.of_sent(call)
    rows, roll_up = ledgers.rows, ledgers.roll_up
    booked = {row.request_id: row for row in rows}
    invented = [row for row in rows if row.request_id not in truth]
    both = [(truth[row.request_id], row) for row in booked.values() if row.request_id in truth]
    exact = [(cost, row) for cost, row in both if row.finish == "complete" and not row.is_estimated]
    return Comparison(
        calls=len(truth),
        rows=len(rows),
        missing=len(truth.keys() - booked.keys() - ledgers.dead),
        duplicates=len(rows) - len(booked),
        dead=len(ledgers.dead),
        invented=sum(row.finish != "abandoned" for row in invented),
        abandoned=sum(row.finish == "abandoned" for row in rows),
        mispriced=sum(abs(cost - row.cost) for cost, row in exact),
        short=sum(max(0, cost - row.cost) for cost, row in both if row.finish != "client_gone"),
        roll_up=abs(roll_up[0] - len(rows)) + abs(roll_up[1] - sum(row.cost for row in rows)),
    )


def begun_ms(request_id: str) -> int:
    """Returns when a call came to its proxy: the moment in its id."""
    return int(request_id.replace("-", "")[:12], 16)


def most_in_window(calls: Iterable[tuple[int, int, int]], window_ms: int) -> int:
    """Returns the most that was admitted in any stretch of a length; calls are (begun, arrived, how much).

    A call is admitted after it came to its proxy and before it arrives at its provider: what lies between the two, on a
    busy machine, must not count as a window that was too full. So a call counts for a stretch that holds both.
    """
    most = total = 0
    begun: list[tuple[int, int]] = []
    for came, arrived, amount in sorted(calls, key=lambda call: call[1]):
        bisect.insort(begun, (came, amount))
        total += amount
        over = bisect.bisect_right(begun, (arrived - window_ms, sys.maxsize))
        total -= sum(gone for _, gone in begun[:over])
        del begun[:over]
        most = max(most, total)
    return most


def most_at_once(sent: Iterable[Sent]) -> int:
    """Returns how many calls were open at the same time at most; their ends are written down a little late."""
    edges = sorted(edge for call in sent for edge in ((call.at_ms, 1), (call.at_ms + max(0, call.ms - _LATE_MS), -1)))
    most = now = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    return most


@dataclass
class Limited:
    """One limit, and which of the calls count for it."""

    name: str
    amount: int
    # None: a calendar window that holds all of the case.
    window_ms: int | None
    weigh: Callable[[Sent], int]
    keys: frozenset[str] | None = None

    def used(self, sent: Sequence[Sent], key_of: dict[str, str], as_it_arrived: bool = False) -> int:
        """The most of it that was certainly admitted in one window, or the most that arrived in one."""
        counted = [call for call in sent if self.keys is None or key_of.get(call.request_id) in self.keys]
        if self.window_ms is None:
            return sum(self.weigh(call) for call in counted)
        came = (call.at_ms if as_it_arrived else begun_ms(call.request_id) for call in counted)
        calls = ((begun, call.at_ms, self.weigh(call)) for begun, call in zip(came, counted, strict=True))
        return most_in_window(calls, self.window_ms)


def rows_of(lines: list[dict[str, str]]) -> list[Row]:
    """Reads what `rows_query` found."""
    return [Row.of(line) for line in lines]


def rows_query() -> str:
    """Asks for every call of the case, but for the control client's."""
    return _ROWS


def roll_up_query() -> str:
    """Asks for what the roll-up says of the same calls."""
    return _ROLL_UP
