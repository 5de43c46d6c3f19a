"""The matrix: which cases there are, and running one of them."""

import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from .bench import Bench, Machine, Skip, Spec
from .report import Report


@dataclass(frozen=True)
class Stage:
    """Where a case plays."""

    machine: Machine
    name: str

    def bench(self, spec: Spec | None = None) -> AbstractAsyncContextManager[Bench]:
        """Starts a bench for this case."""
        return self.machine.bench(self.name, spec or Spec())

    def span(self, full: float, quick: float) -> float:
        """Returns the first number, or the second while developing."""
        return quick if self.machine.is_quick else full

    def times(self, full: int, quick: int) -> int:
        """Returns how often something is done."""
        return quick if self.machine.is_quick else full


Play = Callable[[Stage], Awaitable[Report]]


@dataclass(frozen=True)
class Case:
    """One row of the matrix."""

    name: str
    title: str
    play: Play
    # Played only when it is named.
    is_extra: bool = False


@dataclass(frozen=True)
class Result:
    """What became of a case: a report, or why there is none."""

    case: Case
    seconds: float
    report: Report | None = None
    skipped: str = ""
    broken: str = ""

    @property
    def verdict(self) -> str:
        """In one word."""
        if self.skipped:
            return "skipped"
        return "ok" if self.report and self.report.is_good else "FAILED"


CASES: list[Case] = []


def case(name: str, title: str, is_extra: bool = False) -> Callable[[Play], Play]:
    """Enters a function into the matrix."""

    def enter(play: Play) -> Play:
        CASES.append(Case(name, title, play, is_extra))
        return play

    return enter


async def play(one: Case, machine: Machine) -> Result:
    """Plays one case to its end."""
    began = time.monotonic()
    try:
        report = await one.play(Stage(machine, one.name))
    except Skip as why:
        return Result(one, time.monotonic() - began, skipped=str(why))
    except Exception:
        return Result(one, time.monotonic() - began, broken=traceback.format_exc())
    return Result(one, time.monotonic() - began, report)
