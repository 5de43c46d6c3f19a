"""The bench: two proxies, a sidecar, providers that keep their own books, and a relay before each of them."""

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from .control import Calm, Control
from .planes import CREDENTIAL, Plane, Upstream
from .process import Process, free_port, run, until
from .relay import Relays, Toxics
from .servers import Postgres, Redis
from .tenant import OWNER, PASSWORD, Api, Key, Tenant, standings
from .truth import Ledgers, Price, roll_up_query, rows_of, rows_query


class Skip(Exception):
    """A case that cannot run here, and why; never a case that passed."""


@dataclass
class Spec:
    """What a case wants to stand."""

    price: Price = Price(input=0, output=0)
    # Settings of both proxies and the sidecar: `QUOTA__LEASE_MS`.
    settings: dict[str, str] = field(default_factory=dict)
    # Settings of one of them, by its name: A, B, admin.
    own_settings: dict[str, dict[str, str]] = field(default_factory=dict)
    # More of the environment, by the name of the process: A, B, admin, redis, upstream.
    environment: dict[str, dict[str, str]] = field(default_factory=dict)
    # Flags of the provider.
    upstream: list[str] = field(default_factory=list)
    redis_options: list[str] | None = None
    has_control: bool = True
    # Whether the proxies are started with the rest.
    is_started: bool = True


class Machine:
    """What all cases share: a folder, the binary, one Postgres with a migrated template."""

    def __init__(self, binary: Path, is_quick: bool) -> None:
        self.binary = binary
        self.is_quick = is_quick
        self.folder = Path(tempfile.mkdtemp(prefix="synaxis-faults-", dir="/var/tmp"))
        # The user that runs Postgres must come through.
        self.folder.chmod(0o711)
        self.env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8"}
        self.postgres = Postgres(self.folder / "postgres", self.env)

    async def __aenter__(self) -> "Machine":
        await self.postgres.create()
        await self.postgres.start()
        await self.postgres.sql("postgres", f"create database {Postgres.TEMPLATE}")
        await self.migrate(Postgres.TEMPLATE)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.postgres.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def migrate(self, database: str) -> None:
        """Brings a database to the schema."""
        await run([str(self.binary), "migrate"], self.settings(self.postgres.url(database)), self.folder)

    def settings(self, database_url: str) -> dict[str, str]:
        """Returns the environment every command of the binary gets."""
        said = {
            "ENVIRONMENT": "development",
            "DATABASE__URL": database_url,
            "SECURITY__SEALING_KEY": "nobody-keeps-anything-secret-here",
            "EGRESS__ALLOW": "127.0.0.0/8",
        }
        return self.env | {f"SYNAXIS__{name}": value for name, value in said.items()}

    @asynccontextmanager
    async def bench(self, name: str, spec: Spec) -> AsyncIterator["Bench"]:
        """Starts a bench for one case, and ends it afterwards whatever happened."""
        bench = Bench(self, name, spec)
        try:
            await bench.start()
            yield bench
        finally:
            await bench.stop()


class Bench:
    """Everything one case needs."""

    def __init__(self, machine: Machine, name: str, spec: Spec) -> None:
        self.machine = machine
        self.spec = spec
        self.name = name
        self.folder = machine.folder / name
        self.folder.mkdir()
        self.database = f"case_{name.lower()}"
        self.postgres = machine.postgres
        self.redis = Redis(self.folder, machine.env | spec.environment.get("redis", {}))
        self.relays = Relays()
        env = machine.env | spec.environment.get("upstream", {})
        self.upstream = Upstream("swift", machine.binary, env, self.folder, spec.upstream)
        self.calm_upstream = Upstream("calm", machine.binary, machine.env, self.folder, [])
        self.relayed = {name: free_port() for name in ("redis/A", "redis/B", "postgres/A", "postgres/B", "upstream")}
        self.proxies = {name: self._proxy(name) for name in ("A", "B")}
        self.sidecars: list[Plane] = []
        self.admin = self.add_admin("admin")
        self.tenant: Tenant
        self._control: Control | None = None
        self._calm: Calm | None = None
        self._sizes: dict[str, tuple[float, int]] = {}

    # What stands where.

    @property
    def a(self) -> Plane:
        """The first proxy."""
        return self.proxies["A"]

    @property
    def b(self) -> Plane:
        """The second proxy."""
        return self.proxies["B"]

    @property
    def doors(self) -> list[int]:
        """Where callers call."""
        return [self.a.port, self.b.port]

    def plane_settings(self, name: str) -> dict[str, str]:
        """Returns the environment of one process; a proxy reaches its servers through relays of its own."""
        is_relayed = f"redis/{name}" in self.relayed
        postgres = self.relayed[f"postgres/{name}"] if is_relayed else None
        redis = self.relayed[f"redis/{name}"] if is_relayed else self.redis.port
        said = {"REDIS__URL": f"redis://127.0.0.1:{redis}", "REDIS__KEY_PREFIX": "faults:"}
        said |= self.spec.settings | self.spec.own_settings.get(name, {})
        env = self.machine.settings(self.postgres.url(self.database, postgres))
        return env | {f"SYNAXIS__{key}": value for key, value in said.items()} | self.spec.environment.get(name, {})

    def _proxy(self, name: str) -> Plane:
        return Plane("proxy", name, self.machine.binary, self.plane_settings(name), self.folder / name)

    def add_proxy(self, name: str, more: Mapping[str, str] | None = None) -> Plane:
        """Makes one more proxy without starting it; it has no relays of its own."""
        env = self.plane_settings(name) | dict(more or {})
        self.proxies[name] = Plane("proxy", name, self.machine.binary, env, self.folder / name)
        return self.proxies[name]

    def add_admin(self, name: str) -> Plane:
        """Makes one more sidecar without starting it."""
        env = self.plane_settings("admin")
        self.sidecars.append(Plane("admin", name, self.machine.binary, env, self.folder / name))
        return self.sidecars[-1]

    async def spoil(self, server: str, toxics: Toxics) -> None:
        """Spoils what passes between both proxies and a server: redis, postgres, upstream."""
        for name in self.relayed:
            if name.split("/")[0] == server:
                await self.relays.spoil(name, toxics)

    async def mend(self, server: str) -> None:
        """Lets everything pass between both proxies and a server again."""
        await self.spoil(server, Toxics())

    # Beginning and end.

    async def start(self) -> None:
        """Starts everything."""
        await self.sql("postgres", f"create database {self.database} template {Postgres.TEMPLATE}")
        await self.relays.start()
        await asyncio.gather(
            self.redis.start(self.spec.redis_options), self.upstream.start(), self.calm_upstream.start()
        )
        for name, target in self._targets().items():
            await self.relays.open(name, self.relayed[name], target)
        await self._fill()
        await self.admin.start()
        await self._make_tenant()
        if self.spec.is_started:
            await asyncio.gather(self.a.start(), self.b.start())
            await self.watch()

    def _targets(self) -> dict[str, int]:
        servers = {"redis": self.redis.port, "postgres": self.postgres.port, "upstream": self.upstream.port}
        return {name: servers[name.split("/")[0]] for name in self.relayed}

    async def watch(self) -> None:
        """Measures the processes before anything happens to them, and lets the control client begin."""
        self._sizes = {name: (plane.process.rss_mb(), plane.process.fds()) for name, plane in self.proxies.items()}
        if self.spec.has_control:
            made = await self.cli("orgs", "create", "--name", "Calm", "--unlimited", "--json")
            key = await self.cli("keys", "create", "--organization", json.loads(made)["id"], "--json")
            self._control = Control(json.loads(key)["api_key"], [self.b.port, self.a.port])
            await self._control.start()

    async def stop(self) -> None:
        """Ends everything that still runs."""
        if self._control:
            await self.end_control()
        processes: list[Process] = [plane.process for plane in (*self.proxies.values(), *self.sidecars)]
        processes += [self.redis.process, self.upstream.process, self.calm_upstream.process]
        await asyncio.gather(*(process.kill() for process in processes))
        await self.relays.stop()
        if not self.postgres.process.is_alive:
            await self.postgres.start()
        await self.sql("postgres", f"drop database if exists {self.database} with (force)")

    async def end_control(self) -> Calm | None:
        """Ends the control client and returns what it met."""
        if self._control:
            self._calm = await self._control.stop()
            self._control = None
        return self._calm

    async def cli(self, *arguments: str, given: str = "") -> str:
        """Runs a command of the binary as an operator would."""
        env = self.machine.settings(self.postgres.url(self.database))
        return await run([str(self.machine.binary), *arguments], env, self.folder, given)

    async def sql(self, database: str, text: str) -> list[dict[str, str]]:
        """Asks any database of the cluster."""
        return await self.postgres.sql(database, text)

    async def ask(self, text: str) -> list[dict[str, str]]:
        """Asks this case's database."""
        return await self.postgres.sql(self.database, text)

    async def _fill(self) -> None:
        path = self.folder / "catalog.toml"
        path.write_text(self._catalog())
        await self.cli("catalog", "import", str(path))
        made = await self.cli("orgs", "create", "--name", "Faults", "--unlimited", "--json")
        organization = json.loads(made)["id"]
        person = ["users", "create", "--email", OWNER, "--password-stdin", "--platform-admin"]
        await self.cli(*person, "--organization", organization, given=PASSWORD)
        self.tenant = Tenant(Api(self.admin.port), organization)

    async def _make_tenant(self) -> None:
        await self.tenant.api.sign_in()

    def _catalog(self) -> str:
        price = self.spec.price
        dollars = f'{{ input = "{price.input / 1e9:.9f}", output = "{price.output / 1e9:.9f}" }}'
        terms = f'tier = "paid"\nprice = {dollars}' if price.input or price.output else 'tier = "free"'
        models = "".join(f'[[models]]\nname = "{name}"\ncontext_window = 100000000\n\n' for name in ("swift", "calm"))
        swift = _offer("swift", self.relayed["upstream"], terms)
        return models + swift + _offer("calm", self.calm_upstream.port, 'tier = "free"')

    # What became of it.

    async def idle(self, patience_s: float = 30.0) -> None:
        """Waits until no call is open, and everything that was sent is booked."""
        await until("calls end", self._is_quiet, patience_s, every_s=0.2)
        await until("everything is booked", self._is_booked, patience_s, every_s=0.3)

    async def _is_quiet(self) -> bool:
        living = [plane for plane in self.proxies.values() if plane.process.is_alive]
        held = [await plane.metric("synaxis_holds_open") for plane in living]
        return sum(held) == 0 and await self.upstream.open_calls() == 0

    async def _is_booked(self) -> bool:
        ledgers = await self.ledgers()
        booked = ledgers.dead | {row.request_id for row in ledgers.rows}
        return all(call.request_id in booked for call in ledgers.sent)

    async def ledgers(self) -> Ledgers:
        """Reads what upstreams sent and what is booked."""
        rows = rows_of(await self.ask(rows_query()))
        roll_up = (await self.ask(roll_up_query()))[0]
        totals = (int(roll_up["requests"]), int(roll_up["cost"]))
        return Ledgers(self.upstream.sent(), rows, totals, self.dead_letters())

    def dead_letters(self) -> set[str]:
        """The calls that the books refused, as the spools keep them for a person."""
        spools = {plane.spool for plane in self.proxies.values()}
        kept = [path.read_text() for spool in spools for path in spool.glob("dead-letters.jsonl")]
        letters = [json.loads(line) for text in kept for line in text.splitlines()]
        return {str(json.loads(letter["entry"])["request_id"]) for letter in letters}

    async def faults_of_books(self) -> int:
        """How many invariants of the books do not hold: the roll-ups', and the ledger's where there is one."""
        span = (
            "date_trunc('day', now() - interval '2 days', 'UTC'), date_trunc('day', now() + interval '3 days', 'UTC')"
        )
        usage = await self.ask(f"select count(*) as n from operations.usage_faults({span})")
        ledger = await self.ask(f"select count(*) as n from operations.ledger_faults({span})")
        return int(usage[0]["n"]) + int(ledger[0]["n"])

    def growth(self) -> tuple[float, int]:
        """How much the proxies' memory (MB) and descriptors have grown, at most."""
        grown_mb, grown_fds = 0.0, 0
        for name, (before_mb, before_fds) in self._sizes.items():
            process = self.proxies[name].process
            if process.is_alive:
                grown_mb = max(grown_mb, process.rss_mb() - before_mb)
                grown_fds = max(grown_fds, process.fds() - before_fds)
        return grown_mb, grown_fds

    def panics(self) -> list[str]:
        """The panics anybody logged."""
        return [panic for plane in (*self.proxies.values(), *self.sidecars) for panic in plane.panics()]

    async def leaked(self, keys: list[Key]) -> int:
        """How many calls still count as in flight though none is."""
        living = [plane for plane in self.proxies.values() if plane.process.is_alive]
        held = sum([int(await plane.metric("synaxis_holds_open")) for plane in living])
        for key in keys:
            lines = await standings(living[0].port, key)
            held += sum(line.used for line in lines if line.meter == "concurrent")
        return held


def _offer(name: str, port: int, terms: str) -> str:
    provider = f'[[providers]]\nname = "{name}"\ndialect = "openai"\nbase_url = "http://127.0.0.1:{port}/v1"\n'
    offer = f'[[offers]]\nprovider = "{name}"\nmodel = "{name}"\nupstream_name = "{name}"\n{terms}\n\n'
    return f'{provider}credential = "{CREDENTIAL}"\n\n{offer}'
