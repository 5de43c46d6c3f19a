"""The table: a row of standard figures for each case, and below it the case's own."""

from .case import Result
from .report import Report

_COLUMNS = (
    ("case", 6),
    ("verdict", 8),
    ("s", 5),
    ("calls", 7),
    ("rows", 7),
    ("missing", 7),
    ("dup", 4),
    ("over", 8),
    ("errors", 7),
    ("calm p50/p99 ms", 15),
    ("calm lost", 9),
    ("RSS MB", 7),
    ("fds", 5),
    ("leases", 6),
    ("panics", 6),
)


def head() -> str:
    """The table's first line."""
    return "  ".join(name.ljust(width) for name, width in _COLUMNS).rstrip()


def lines(result: Result) -> list[str]:
    """What is printed of one case."""
    first = [result.case.name, result.verdict, f"{result.seconds:.0f}"]
    cells = first + (_cells(result.report) if result.report else [])
    row = "  ".join(cell.ljust(width) for cell, (_, width) in zip(cells, _COLUMNS, strict=False)).rstrip()
    printed = [row, f"        {result.case.title}"]
    if result.skipped:
        printed.append(f"        skipped: {result.skipped}")
    if result.broken:
        printed += [f"        {line}" for line in result.broken.rstrip().splitlines()]
    if result.report:
        printed += _figures(result.report)
    return printed


def _cells(report: Report) -> list[str]:
    one, calm = report.comparison, report.calm
    return [
        str(one.calls) if one else "–",
        str(one.rows) if one else "–",
        str(one.missing) if one else "–",
        str(one.duplicates) if one else "–",
        f"{report.overshoot:.0f}" if report.overshoot is not None else "–",
        str(sum(report.errors.values())),
        f"{calm.p50_ms:.1f} / {calm.p99_ms:.1f}" if calm else "–",
        str(calm.failed) if calm else "–",
        f"{report.grown_mb:+.1f}",
        f"{report.grown_fds:+d}",
        str(report.leaked),
        str(len(report.panics)),
    ]


def _figures(report: Report) -> list[str]:
    told = [f"        {figure}" for figure in report.figures]
    standard = report.judged()[: -len(report.figures) or None]
    told += [f"        {figure}" for figure in standard if not figure.is_good]
    told += [f"        panic: {panic}" for panic in report.panics]
    if report.errors:
        told.append(f"        unexpected: {dict(report.errors)}")
    return told


def summary(results: list[Result]) -> str:
    """The last line."""
    verdicts = [result.verdict for result in results]
    minutes = sum(result.seconds for result in results) / 60
    counts = f"{verdicts.count('ok')} held, {verdicts.count('FAILED')} failed, {verdicts.count('skipped')} skipped"
    return f"{counts}, {minutes:.1f} minutes"
