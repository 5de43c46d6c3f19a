"""The control client: somebody nothing was done to, calling steadily from a process of its own.

Run as `python3 -m faults.control KEY PORT…`, it calls ten times a second until its standard input ends, and prints how
that went as one line of JSON.
"""

import asyncio
import json
import sys
from collections import Counter
from dataclasses import dataclass

from .load import Crowd, Words, percentile

_CALLS_PER_SECOND = 10.0


@dataclass(frozen=True)
class Calm:
    """What the control client met."""

    outcomes: Counter[str]
    p50_ms: float
    p99_ms: float

    @property
    def failed(self) -> int:
        """How many of its calls were not answered."""
        return sum(count for word, count in self.outcomes.items() if word != "200")


class Control:
    """The control client's process."""

    def __init__(self, key: str, ports: list[int]) -> None:
        self._arguments = [key, *map(str, ports)]
        self._child: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Begins to call."""
        self._child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "faults.control",
            *self._arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )

    async def stop(self) -> Calm:
        """Ends it and returns what it met."""
        assert self._child and self._child.stdin
        self._child.stdin.close()
        assert self._child.stdout
        told = json.loads(await self._child.stdout.read())
        await self._child.wait()
        ms = told["ms"]
        return Calm(Counter(told["outcomes"]), percentile(ms, 0.5), percentile(ms, 0.99))


async def _call(key: str, ports: list[int]) -> None:
    crowd = Crowd(ports, [key], callers=4, words=Words(model="calm"), rate=_CALLS_PER_SECOND, patience_s=20.0)
    calling = crowd.begin()
    told = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(told), sys.stdin)
    await told.read()
    crowd.stop()
    tally = await calling
    print(json.dumps({"outcomes": tally.outcomes, "ms": tally.ms}))


if __name__ == "__main__":
    asyncio.run(_call(sys.argv[1], [int(port) for port in sys.argv[2:]]))
