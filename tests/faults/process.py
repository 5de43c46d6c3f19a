"""A process of ours: started, killed, frozen, measured."""

import asyncio
import ctypes
import os
import random
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_given: set[int] = set()


class NotReady(Exception):
    """Something did not come up, or did not come to rest, in time."""


def free_port() -> int:
    """Returns a port of loopback nobody listens on, out of reach of those the kernel gives to whoever calls."""
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe:
            if port not in _given and probe.connect_ex(("127.0.0.1", port)) != 0:
                _given.add(port)
                return port


async def until(
    what: str, holds: Callable[[], Awaitable[bool]], patience_s: float = 30.0, every_s: float = 0.05
) -> float:
    """Waits until something holds; returns how many seconds that took."""
    began = time.monotonic()
    while not await holds():
        if began + patience_s < time.monotonic():
            raise NotReady(f"{what}: not within {patience_s:.0f} s")
        await asyncio.sleep(every_s)
    return time.monotonic() - began


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """One process and what it writes; it may be started again and again."""

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.command = list(command)
        self.env = dict(env)
        self.folder = folder
        self.log = folder / f"{name}.log"
        self._child: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Its id; 0 while it does not run."""
        return self._child.pid if self.is_alive and self._child else 0

    @property
    def is_alive(self) -> bool:
        """Whether it runs (or stands still)."""
        return self._child is not None and self._child.returncode is None

    async def start(self) -> None:
        """Starts it, in a group of its own, without waiting for anything."""
        with self.log.open("ab") as log:
            self._child = await asyncio.create_subprocess_exec(
                *self.command,
                env=self.env,
                cwd=self.folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    def send(self, number: int) -> None:
        """Sends a signal to it and to all it started."""
        if self.pid:
            os.killpg(self.pid, number)

    async def kill(self) -> None:
        """Ends it as a power cut would."""
        self.send(signal.SIGKILL)
        await self.ended(10.0)

    async def stop(self, number: int = signal.SIGTERM, patience_s: float = 15.0) -> None:
        """Asks it to end; kills it when it does not."""
        self.send(number)
        self.send(signal.SIGCONT)
        if not await self.ended(patience_s):
            await self.kill()

    async def ended(self, patience_s: float) -> bool:
        """Waits for its end; says whether it came."""
        if self._child is None:
            return True
        try:
            await asyncio.wait_for(self._child.wait(), patience_s)
        except TimeoutError:
            return False
        return True

    @property
    def code(self) -> int | None:
        """What it ended with; nothing while it runs."""
        return self._child.returncode if self._child else None

    def freeze(self) -> None:
        """Stops it where it stands."""
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on."""
        self.send(signal.SIGCONT)

    def said(self) -> str:
        """Everything it wrote."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def rss_mb(self) -> float:
        """Its memory."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return 0.0
        lines = (line.split() for line in status.splitlines() if line.startswith("VmRSS:"))
        return sum(int(line[1]) for line in lines) / 1024

    def fds(self) -> int:
        """Its open descriptors; 0 when we may not look."""
        try:
            return len(os.listdir(f"/proc/{self.pid}/fd"))
        except OSError:
            return 0


async def run(command: Sequence[str], env: Mapping[str, str], folder: Path, given: str = "") -> str:
    """Runs a command to its end and returns what it printed; it must succeed."""
    child = await asyncio.create_subprocess_exec(
        *command,
        env=dict(env),
        cwd=folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, complaint = await child.communicate(given.encode())
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)}: {complaint.decode(errors='replace').strip()}")
    return out.decode()
