"""Changes without their audit row, and sidecars that come in twos or stand still."""

import asyncio
from collections.abc import Awaitable, Callable

from ..bench import Bench, Spec
from ..case import Stage, case
from ..load import Crowd
from ..process import until
from ..report import Figure, Report, conclude, zero
from ..tenant import Terms
from .retention import has_kept


@case("F53", "the audit log cannot be written: 50 changes")
async def no_audit(stage: Stage) -> Report:
    async with stage.bench(Spec(has_control=False)) as bench:
        tenant = bench.tenant
        limit = await tenant.limit("organization", Terms("requests", "day", 1000))
        base = f"/api/v1/organizations/{tenant.id}"
        before = await _everything(bench)
        await bench.ask("revoke insert on audit.audit_logs from synaxis_definer")
        tag = (await tenant.api.send("GET", f"{base}/limits/{limit}")).headers["etag"]
        refused = 0
        for number in range(10):
            answers = [
                await tenant.api.send("POST", f"{base}/groups", {"name": f"Group {number}"}),
                await tenant.api.send("POST", f"{base}/keys", {"name": f"key {number}"}),
                await tenant.api.send("PATCH", f"{base}/limits/{limit}", {"amount": number}, tag),
                await tenant.api.send("DELETE", f"{base}/limits/{limit}", tag=tag),
                await tenant.api.send("POST", "/api/v1/organizations", {"display_name": f"Organization {number}"}),
            ]
            refused += sum(500 <= answer.status for answer in answers)
        after = await _everything(bench)
        await bench.ask("grant insert on audit.audit_logs to synaxis_definer")
        mended = await tenant.api.send("POST", f"{base}/groups", {"name": "Afterwards"})
        report, _ = await conclude(bench)
        return report.add(
            zero("changes without audit", sum(before[name] != after[name] for name in before)),
            Figure("changes refused", refused, least=50, most=50),
            Figure("status once it can be written", mended.status, least=201, most=201),
        )


async def _everything(bench: Bench) -> dict[str, str]:
    tables = (
        "identity.groups",
        "identity.organizations",
        "operations.api_keys",
        "operations.limits",
        "audit.audit_logs",
    )
    parts = [
        f"select '{name}' as name, md5(string_agg(t::text, '' order by t::text)) as sum from {name} t"
        for name in tables
    ]
    return {line["name"]: line["sum"] for line in await bench.ask(" union all ".join(parts))}


@case("F54", "two sidecars start at once: migrations, months, retention")
async def twins(stage: Stage) -> Report:
    async with stage.bench(Spec(has_control=False)) as bench:
        machine = bench.machine
        fresh = f"{bench.database}_fresh"
        await bench.sql("postgres", f"create database {fresh}")
        try:
            # Both must end well; `migrate` raises otherwise.
            await asyncio.gather(machine.migrate(fresh), machine.migrate(fresh))
            applied = await bench.sql(
                fresh, "select count(*) as n, count(distinct version) as versions from _sqlx_migrations"
            )
        finally:
            await bench.sql("postgres", f"drop database {fresh} with (force)")
        await bench.admin.kill()
        due = "date_trunc('month', now(), 'UTC') - interval '5 months'"
        await bench.ask(f"select operations.ensure_usage_partition({due})")
        dropped = await _drop_months_ahead(bench)
        audited = await _audited(bench)
        twins = [bench.add_admin(name) for name in ("twin-1", "twin-2")]
        await asyncio.gather(*(twin.start() for twin in twins))
        await asyncio.sleep(5)
        kept = [twin.process.said().count("retention was kept") for twin in twins]
        complaints = [line for twin in twins for line in twin.process.said().splitlines() if '"ERROR"' in line]
        months = await bench.ask("select count(*) as n from platform.months() where begins > now()")
        report, _ = await conclude(bench)
        return report.add(
            zero("migrations applied twice", int(applied[0]["n"]) - int(applied[0]["versions"])),
            Figure("months ahead made again", int(months[0]["n"]), least=dropped),
            Figure("rounds of retention", sum(kept), least=1, most=1),
            Figure("rounds that dropped the month due", await _audited(bench) - audited, least=1, most=1),
            zero("errors logged", len(complaints)),
        )


async def _drop_months_ahead(bench: Bench) -> int:
    ahead = await bench.ask("select partition::text as name from platform.months() where begins > now()")
    await bench.ask("".join(f"drop table {line['name']};" for line in ahead) or "select 1")
    return len(ahead)


async def _audited(bench: Bench) -> int:
    found = await bench.ask("select count(*) as n from audit.audit_logs where action = 'retention.keep'")
    return int(found[0]["n"])


@case("F56", "the sidecar that keeps retention stands still in the middle of it; others start")
async def stopped_holder(stage: Stage) -> Report:
    async with stage.bench(Spec(has_control=False)) as bench:
        await bench.admin.kill()
        due = "date_trunc('month', now(), 'UTC') - interval '5 months'"
        await bench.ask(f"select operations.ensure_usage_partition({due})")
        month = (await bench.ask(f"select partition::text as name from platform.months() where begins = {due}"))[0][
            "name"
        ]
        # A reader of the month holds the round up.
        reading = asyncio.create_task(
            bench.ask(f"begin; lock table {month} in access share mode; select pg_sleep(4); commit")
        )
        await asyncio.sleep(0.3)
        holder, second, third = (bench.add_admin(name) for name in ("holder", "second", "third"))
        await holder.process.start()
        await until("the round waits", _waits(bench), 10, every_s=0.02)
        holder.process.freeze()
        await second.start()
        await reading
        await asyncio.sleep(stage.span(12, 6))
        overlapping = second.process.said().count("retention was kept")
        bench.tenant.api.port = second.port
        key = await bench.tenant.key()
        tally = await Crowd(bench.doors, [key.text], callers=5, most_calls=50).run(10)
        await holder.kill()
        kept = has_kept(third)
        await third.start()
        took_over = await until("another keeps retention", kept, 20)
        left = await bench.ask(f"select count(*) as n from platform.months() where begins = {due}")
        report, _ = await conclude(bench, tally)
        return report.add(
            zero("overlapping rounds", overlapping),
            Figure("s until another keeps it once the holder is gone", took_over, most=10),
            zero("months due that are left", int(left[0]["n"])),
        )


def _waits(bench: Bench) -> Callable[[], Awaitable[bool]]:
    async def waits() -> bool:
        query = (
            "select count(*) as n from pg_stat_activity where wait_event_type = 'Lock' and query ilike '%retire_month%'"
        )
        return 0 < int((await bench.ask(query))[0]["n"])

    return waits
