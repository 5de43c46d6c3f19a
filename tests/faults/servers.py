"""Postgres and Redis of our own: on free ports, killed and emptied as a case needs it, gone afterwards."""

import asyncio
import contextlib
import csv
import glob
import io
import os
import pwd
import shutil
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from .process import Process, free_port, run, until


def _postgres_binaries() -> Path:
    installed = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[-2]))
    found = installed[-1] if installed else os.path.dirname(shutil.which("initdb") or "/usr/bin/initdb")
    return Path(found)


class Postgres:
    """A cluster with one migrated template; each case has a database of its own."""

    TEMPLATE = "synaxis_template"

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.folder = folder
        self.port = free_port()
        self.binaries = _postgres_binaries()
        self._as: list[str] = []
        if os.geteuid() == 0:
            # Root cannot run it, and the user who can must reach its folder.
            self._as = "setpriv --reuid=postgres --regid=postgres --init-groups --pdeathsig KILL".split()
        options = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=300"]
        # Processes are killed here, never the machine: what was written survives without being forced.
        options += [
            "-c",
            "fsync=off",
            "-c",
            "log_min_messages=warning",
            "-c",
            "log_lock_waits=on",
            "-c",
            "track_functions=all",
        ]
        server = [str(self.binaries / "postgres"), "-D", str(folder / "data"), "-p", str(self.port)]
        self.process = Process("postgres", [*self._as, *server, *options], env, folder)

    async def create(self) -> None:
        """Makes the cluster."""
        self.folder.mkdir(parents=True)
        if self._as:
            shutil.chown(self.folder, pwd.getpwnam("postgres").pw_uid)
        initdb = [str(self.binaries / "initdb"), "--username", "postgres", "--auth", "trust", "--encoding", "UTF8"]
        more = ["--locale", "C.UTF-8", "--no-sync", "--no-instructions", "--pgdata", str(self.folder / "data")]
        await run([*self._as, *initdb, *more], self.process.env, self.folder)

    async def start(self) -> None:
        """Starts it and waits until it answers."""
        await self.process.start()
        await until("Postgres", self.answers)

    async def answers(self) -> bool:
        """Whether it takes questions."""
        ready = [str(self.binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        try:
            await run(ready, self.process.env, self.folder)
        except RuntimeError:
            return False
        return True

    async def kill(self) -> None:
        """Kills every one of its processes: each of them leads a group of its own."""
        children = _children(self.process.pid)
        await self.process.kill()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        await until("Postgres is gone", _all_gone(children))

    async def stop(self) -> None:
        """Ends it without waiting for anybody."""
        await self.process.stop(signal.SIGINT)

    def url(self, database: str, port: int | None = None) -> str:
        """Where a database is; over another port when one is given."""
        return f"postgres://postgres@127.0.0.1:{port or self.port}/{database}"

    async def sql(self, database: str, text: str) -> list[dict[str, str]]:
        """Runs one query and returns its rows, every value as text."""
        psql = ["psql", "-X", "-q", "--csv", "-v", "ON_ERROR_STOP=1", "-f", "-", self.url(database)]
        printed = await run(psql, self.process.env, self.folder, given=text)
        return list(csv.DictReader(io.StringIO(printed)))


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _all_gone(pids: list[int]) -> Callable[[], Awaitable[bool]]:
    async def are_gone() -> bool:
        return not any(Path(f"/proc/{pid}").exists() for pid in pids)

    return are_gone


class Redis:
    """One Redis; a replica where it is told of a primary."""

    def __init__(self, folder: Path, env: Mapping[str, str], name: str = "redis") -> None:
        self.folder = folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.name = name
        self._env = env
        self.options: list[str] = ["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"]
        self.process = self._process()

    def _process(self) -> Process:
        binary = shutil.which("redis-server") or shutil.which("valkey-server") or "redis-server"
        place = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        return Process(self.name, [binary, *place, *self.options], self._env, self.folder)

    async def start(self, options: list[str] | None = None, env: Mapping[str, str] | None = None) -> None:
        """Starts it, with other options when they are given, and waits until it answers."""
        if options is not None or env is not None:
            self.options = options if options is not None else self.options
            self._env = env if env is not None else self._env
            self.process = self._process()
        await self.process.start()
        await until("Redis", self.answers)

    async def answers(self) -> bool:
        """Whether it takes commands."""
        try:
            return bool(await self.ask("PING") == "PONG")
        except (OSError, asyncio.IncompleteReadError, RuntimeError):
            return False

    async def ask(self, *words: str | int) -> Any:
        """Sends one command and returns its answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            parts = [str(word).encode() for word in words]
            head = b"*%d\r\n" % len(parts)
            writer.write(head + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
            return await _read_reply(reader)
        finally:
            writer.close()

    async def info(self, section: str) -> dict[str, str]:
        """What `INFO` tells of a section."""
        lines = str(await self.ask("INFO", section)).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def forget(self) -> None:
        """Empties its folder; it must not run."""
        for path in self.folder.iterdir():
            if path.suffix == ".log":
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


async def _read_reply(reader: asyncio.StreamReader) -> Any:
    line = (await reader.readuntil(b"\r\n"))[:-2]
    kind, rest = line[:1], line[1:].decode()
    if kind == b"+":
        return rest
    if kind == b"-":
        raise RuntimeError(rest)
    if kind == b":":
        return int(rest)
    if kind == b"$":
        if int(rest) < 0:
            return None
        return (await reader.readexactly(int(rest) + 2))[:-2].decode(errors="surrogateescape")
    return [await _read_reply(reader) for _ in range(int(rest))]
