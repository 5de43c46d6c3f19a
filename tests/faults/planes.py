"""The binary under test, in its parts: simulated providers, proxies, the sidecar."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .load import Answer, Client
from .process import Process, free_port, until

# What `synaxis simulate` knows a caller's credential by; nobody's.
CREDENTIAL = "sk-upstream-0123456789"


@dataclass(frozen=True)
class Sent:
    """One line of a provider's own log: what it was asked and what it truly sent."""

    request_id: str
    at_ms: int
    ms: int
    model: str
    input_tokens: int
    output_tokens: int
    end: str
    status: int

    @property
    def was_answered(self) -> bool:
        """Whether anything was sent that costs."""
        return self.end != "refused" and 0 < self.output_tokens


class Upstream:
    """A simulated provider, and the log only it writes."""

    def __init__(self, name: str, binary: Path, env: Mapping[str, str], folder: Path, flags: list[str]) -> None:
        self.name = name
        self.port = free_port()
        self.calls = folder / f"{name}.jsonl"
        command = [str(binary), "simulate", "--listen", f"127.0.0.1:{self.port}", "--name", name]
        self.process = Process(f"upstream-{name}", [*command, "--log", str(self.calls), *flags], env, folder)

    async def start(self) -> None:
        """Starts it and waits until it listens."""
        await self.process.start()
        await until(self.name, self._listens)

    async def _listens(self) -> bool:
        return (await Client(5.0).ask(self.port, "GET", "/__stats", {})).status == 200

    async def misbehave(self, spec: str) -> None:
        """Makes it misbehave from now on, in the words of `synaxis simulate --help`; `none` is good behaviour."""
        client = Client(5.0)
        answer = await client.ask(self.port, "PUT", "/__fault", {}, spec.encode())
        client.close()
        if answer.status != 200:
            raise RuntimeError(f"{spec}: {answer.body.decode()}")

    async def open_calls(self) -> int:
        """How many calls it has not ended yet."""
        client = Client(5.0)
        answer = await client.ask(self.port, "GET", "/__stats", {})
        client.close()
        return int(answer.json()["open"])

    def sent(self) -> list[Sent]:
        """Every call it has seen to its end."""
        if not self.calls.exists():
            return []
        wanted = Sent.__dataclass_fields__
        lines = (json.loads(line) for line in self.calls.read_text().splitlines())
        return [Sent(**{name: value for name, value in line.items() if name in wanted}) for line in lines]


class Plane:
    """A proxy or the sidecar: where it answers, and what it says of itself."""

    def __init__(self, kind: str, name: str, binary: Path, env: Mapping[str, str], folder: Path) -> None:
        self.kind = kind
        self.name = name
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.operations = free_port()
        section = kind.upper()
        own = {
            f"SYNAXIS__{section}__LISTEN": f"127.0.0.1:{self.port}",
            f"SYNAXIS__{section}__OPERATIONS_LISTEN": f"127.0.0.1:{self.operations}",
            "SYNAXIS__PROXY__STATE_DIR": str(folder / "state"),
            "SYNAXIS__USAGE__SPOOL_DIR": str(folder / "spool"),
            "SYNAXIS__MAIL__FOLDER": str(folder / "mail"),
        }
        self.process = Process(name, [str(binary), kind], {**own, **env}, folder)

    async def start(self, patience_s: float = 30.0) -> float:
        """Starts it and waits until it is ready; returns how many seconds that took."""
        await self.process.start()
        return await self.ready(patience_s)

    async def ready(self, patience_s: float = 30.0) -> float:
        """Waits until it says that it is ready."""
        return await until(f"{self.name} is ready", self.is_ready, patience_s, every_s=0.02)

    async def is_ready(self) -> bool:
        """Whether it says that it is ready."""
        return (await self.asked("/readyz")).status == 200

    async def asked(self, path: str) -> Answer:
        """What its operations listener answers."""
        client = Client(5.0)
        answer = await client.ask(self.operations, "GET", path, {})
        client.close()
        return answer

    async def kill(self) -> None:
        """Kills it as a power cut would."""
        await self.process.kill()

    async def metric(self, name: str) -> float:
        """The value of one of its metrics, all labels together; 0 when it is not there."""
        text = (await self.asked("/metrics")).body.decode()
        lines = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)
        return sum(float(line) for line in lines)

    def panics(self) -> list[str]:
        """The panics it logged, each with what stands behind it."""
        lines = self.process.said().splitlines()
        return [" ".join(lines[place : place + 2]) for place, line in enumerate(lines) if "panicked at" in line]

    @property
    def spool(self) -> Path:
        """Where it writes its calls down."""
        return Path(self.process.env["SYNAXIS__USAGE__SPOOL_DIR"])

    def spool_bytes(self) -> int:
        """What its spool holds on the disk."""
        return sum(path.stat().st_size for path in self.spool.glob("*") if path.is_file())
