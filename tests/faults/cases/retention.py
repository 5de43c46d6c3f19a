"""A million rows pass their retention while calls are booked."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from ..bench import Bench, Spec
from ..case import Stage, case
from ..load import Crowd, percentile
from ..planes import Plane
from ..process import run, until
from ..report import Figure, Report, conclude, zero
from ..tenant import Tenant
from .limits import DEAR, WIDE

# Days each organization keeps its rows; the installation's own say is 90.
_KEPT = {"usual": 90, "short": 40, "long": 200}

# A row of somebody's, at a moment, as `operations.ingest` takes it; the moment stands in its id.
_ROW = """
create function public.row_at(organization uuid, ms bigint) returns json language sql volatile return json_build_object(
    'request_id', overlay(overlay(gen_random_uuid()::text placing left(lpad(to_hex(ms), 12, '0'), 8) || '-'
        || right(lpad(to_hex(ms), 12, '0'), 4) from 1 for 13) placing '7' from 15),
    'at', to_timestamp(ms / 1000.0), 'organization_id', organization, 'api_key_id', organization,
    'requested_model', 'calm',
    'model_id', (select id from platform.models where name = 'calm'), 'status', 200, 'finish', 'complete',
    'is_estimated', false, 'is_stream', false, 'input_tokens', 6, 'cached_tokens', 0, 'cache_write_tokens', 0,
    'output_tokens', 20, 'reasoning_tokens', 0, 'cost_nano_usd', 100, 'saved_nano_usd', 0,
    'price_book', '', 'duration_ms', 5, 'attempts', '[]'::json);
"""

_FILL = """
do $$
begin
    for place in 0..{rows} - 1 by 5000 loop
        perform operations.ingest((
            select json_agg(public.row_at((array[{organizations}]::uuid[])[1 + n % 3],
                (extract(epoch from now() - interval '1 hour' - interval '129 days' * n / {rows}) * 1000)::bigint))
            from generate_series(place, place + 4999) n));
        commit;
    end loop;
end
$$;
"""

_PROBE = (
    "select operations.ingest(json_build_array("
    "public.row_at('{organization}', (extract(epoch from clock_timestamp()) * 1000)::bigint)));\n"
)


@case("F51", "a million rows pass their retention while calls are booked")
async def retention(stage: Stage) -> Report:
    rows = stage.times(1_000_000, 60_000)
    async with stage.bench(Spec(price=DEAR)) as bench:
        key = await bench.tenant.key(limits=WIDE)
        tenants = await _tenants(bench)
        organizations = ",".join(f"'{tenant.id}'" for tenant in tenants.values())
        await bench.ask(_ROW + _FILL.format(rows=rows, organizations=organizations))
        before = await _ages(bench)
        crowd = Crowd(bench.doors, [key.text], callers=20, rate=100)
        calling = crowd.begin()
        quiet = await _probe(bench, 5)
        kept = has_kept(bench.admin)
        await bench.admin.kill()
        await bench.admin.start()
        busy, _ = await asyncio.gather(_probe(bench, 5), until("retention is kept", kept, 120))
        crowd.stop()
        after = await _ages(bench)
        early, late = _judge(before, after, tenants)
        report, _ = await conclude(bench, await calling)
        return report.add(
            zero("rows gone too early", early),
            zero("rows that should be gone", late),
            Figure("rows gone", sum(before.values()) - sum(after.values()), least=1),
            Figure("p99 ms of booking, before", percentile(quiet, 0.99)),
            Figure(
                "p99 ms of booking, meanwhile", percentile(busy, 0.99), most=max(100.0, 10 * percentile(quiet, 0.99))
            ),
            Figure("longest ms a booking waited", max(busy), most=2000),
        )


async def _tenants(bench: Bench) -> dict[str, Tenant]:
    """Makes the other organizations, and says how long each keeps its rows."""
    tenants = {"usual": bench.tenant}
    for name in ("short", "long"):
        made = await bench.tenant.api.must("POST", "/api/v1/organizations", {"display_name": name})
        tenants[name] = Tenant(bench.tenant.api, str(made["id"]))
    for name, tenant in tenants.items():
        days = f"update identity.organization_settings set audit_retention_days = {_KEPT[name]}"
        await bench.ask(f"{days} where organization_id = '{tenant.id}'")
    return tenants


async def _ages(bench: Bench) -> dict[tuple[str, str], int]:
    """How many of the filled rows there are per organization and day."""
    query = """
        select organization_id, to_char(at at time zone 'UTC', 'YYYY-MM-DD') as day, count(*) as n
        from operations.usage_entries
        where requested_model = 'calm' and at < now() - interval '50 minutes' group by 1, 2"""
    return {(line["organization_id"], line["day"]): int(line["n"]) for line in await bench.ask(query)}


def _judge(
    before: dict[tuple[str, str], int], after: dict[tuple[str, str], int], tenants: dict[str, Tenant]
) -> tuple[int, int]:
    """Returns how many rows went although they were to be kept, and how many are kept that had to go."""
    now = datetime.now(UTC)
    early = late = 0
    for name, tenant in tenants.items():
        for (organization, text), count in before.items():
            if organization != tenant.id:
                continue
            day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
            left = after.get((organization, text), 0)
            # The day that lies on the edge may be there in part.
            if now - timedelta(days=_KEPT[name]) <= day:
                early += count - left
            if day + timedelta(days=1) <= _gone_before(name, now):
                late += left
    return early, late


def _gone_before(name: str, now: datetime) -> datetime:
    """Returns before which moment an organization's rows must all be gone: months go whole, but for the short one."""
    edge = now - timedelta(days=_KEPT[name])
    if name == "short":
        return edge
    return edge.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


async def _probe(bench: Bench, seconds: int) -> list[float]:
    """Books one row after the other for a time; returns how many milliseconds each took."""
    script = bench.folder / "probe.sql"
    script.write_text(_PROBE.format(organization=bench.tenant.id))
    folder = bench.folder / f"probe-{seconds}-{len(list(bench.folder.glob('probe-*')))}"
    folder.mkdir()
    url = bench.postgres.url(bench.database)
    pgbench = [str(bench.postgres.binaries / "pgbench"), "-n", "-f", str(script), "-T", str(seconds), "--log", url]
    await run(pgbench, bench.machine.env, folder)
    lines = [line.split() for log in folder.glob("pgbench_log.*") for line in log.read_text().splitlines()]
    return [int(line[2]) / 1000 for line in lines]


def has_kept(plane: Plane) -> Callable[[], Awaitable[bool]]:
    """Returns what says whether a sidecar has kept retention since now."""
    before = plane.process.said().count("retention was kept")

    async def is_kept() -> bool:
        return before < plane.process.said().count("retention was kept")

    return is_kept
