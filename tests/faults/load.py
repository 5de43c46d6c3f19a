"""Callers: an HTTP/1.1 client that keeps its connections, and crowds of them."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Answer:
    """What came back: a status, or the word for why there is none."""

    status: int = 0
    fault: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    first_ms: float = 0.0
    ms: float = 0.0

    @property
    def outcome(self) -> str:
        """The status, or what went wrong instead."""
        return self.fault or str(self.status)

    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)

    def code(self) -> str:
        """The stable word of an error."""
        try:
            return str(self.json()["error"]["code"])
        except (ValueError, KeyError, TypeError):
            return ""


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._answer = Answer()
        self._buffer = bytearray()
        self._body = bytearray()
        # Bytes still to come: of the body, or of the chunk; -1 before the head, -2 where a chunk's length is next.
        self._left = -1
        self._is_chunked = False
        self._began = 0.0
        self._leave_after = 0

    @property
    def is_usable(self) -> bool:
        """Whether it can take another request."""
        return self._transport is not None and not self._transport.is_closing() and self._waiting is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    async def ask(self, request: bytes, patience_s: float, leave_after: int = 0) -> Answer:
        """Sends a request and waits for its answer; leaves after so many bytes of it when told to."""
        assert self._transport is not None
        if self._transport.is_closing():
            # Lost before it was used: nobody would tell us again.
            return Answer(fault="reset")
        loop = asyncio.get_running_loop()
        self._answer, self._began, self._leave_after = Answer(), loop.time(), leave_after
        self._buffer, self._body, self._left, self._is_chunked = bytearray(), bytearray(), -1, False
        self._waiting = loop.create_future()
        late = loop.call_later(patience_s, self._end, "timeout")
        self._transport.write(request)
        try:
            await self._waiting
        finally:
            late.cancel()
            self._waiting = None
            self._answer.ms = (loop.time() - self._began) * 1000
            if self._answer.fault or self._answer.headers.get("connection") == "close":
                self.close()
        self._answer.body = bytes(self._body)
        return self._answer

    def close(self) -> None:
        """Leaves."""
        if self._transport:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        if self._waiting is None or self._waiting.done():
            return
        if not self._answer.first_ms:
            self._answer.first_ms = (asyncio.get_running_loop().time() - self._began) * 1000
        self._buffer += data
        if self._left == -1 and not self._read_head():
            return
        if self._is_chunked:
            self._read_chunks()
        else:
            self._body += self._buffer
            self._left -= len(self._buffer)
            self._buffer.clear()
            if self._left <= 0:
                self._end("")
        if self._leave_after and self._leave_after <= len(self._body):
            self._end("left")

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("reset" if exc else "cut")

    def _end(self, fault: str) -> None:
        if self._waiting and not self._waiting.done():
            self._answer.fault = fault
            self._waiting.set_result(None)

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        self._answer.status = int(lines[0].split(" ", 2)[1])
        pairs = (line.partition(":") for line in lines[1:])
        self._answer.headers = {name.lower(): value.strip() for name, _, value in pairs}
        self._is_chunked = self._answer.headers.get("transfer-encoding") == "chunked"
        self._left = -2 if self._is_chunked else int(self._answer.headers.get("content-length", 0))
        return True

    def _read_chunks(self) -> None:
        while True:
            if self._left == -2:
                end = self._buffer.find(b"\r\n")
                if end < 0:
                    return
                length = int(self._buffer[:end], 16)
                del self._buffer[: end + 2]
                if length == 0:
                    return self._end("")
                self._left = length
            taken = min(self._left, len(self._buffer))
            self._body += self._buffer[:taken]
            del self._buffer[:taken]
            self._left -= taken
            if self._left or len(self._buffer) < 2:
                return
            del self._buffer[:2]
            self._left = -2


class Client:
    """Somebody with a connection to each door it has used."""

    def __init__(self, patience_s: float = 60.0) -> None:
        self._connections: dict[int, Connection] = {}
        self.patience_s = patience_s

    async def ask(
        self, port: int, method: str, path: str, headers: dict[str, str], body: bytes = b"", leave_after: int = 0
    ) -> Answer:
        """Asks once; a connection that was kept and turns out dead is made anew."""
        lines = [f"{method} {path} HTTP/1.1", "host: localhost", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        request = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        kept = self._connections.get(port)
        if kept is not None and kept.is_usable:
            return await kept.ask(request, self.patience_s, leave_after)
        loop = asyncio.get_running_loop()
        try:
            made = loop.create_connection(Connection, "127.0.0.1", port)
            _, fresh = await asyncio.wait_for(made, self.patience_s)
        except TimeoutError:
            return Answer(fault="timeout")
        except OSError:
            return Answer(fault="refused")
        self._connections[port] = fresh
        return await fresh.ask(request, self.patience_s, leave_after)

    def close(self) -> None:
        """Leaves every door."""
        for connection in self._connections.values():
            connection.close()


@dataclass(frozen=True)
class Words:
    """What a caller says: the model it asks, and how much it lets it write."""

    model: str = "swift"
    tokens: int = 20
    most: int | None = 64
    is_stream: bool = False
    more: str = ""

    def body(self) -> bytes:
        """The request's body."""
        text = f"tokens={self.tokens} {self.more}"
        asked: dict[str, Any] = {"model": self.model, "messages": [{"role": "user", "content": text}]}
        if self.most is not None:
            asked["max_tokens"] = self.most
        if self.is_stream:
            asked["stream"] = True
        return json.dumps(asked).encode()


@dataclass
class Tally:
    """How the calls of a crowd ended."""

    outcomes: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    # How long good answers took, and how long any took.
    ms: list[float] = field(default_factory=list)
    every_ms: list[float] = field(default_factory=list)
    denied_without_wait: int = 0
    # When each good answer came, and whose key asked.
    answered: list[tuple[float, str]] = field(default_factory=list)

    def note(self, answer: Answer, key: str) -> None:
        """Counts one answer."""
        self.outcomes[answer.outcome] += 1
        self.every_ms.append(answer.ms)
        if answer.status == 200 and not answer.fault:
            self.ms.append(answer.ms)
            self.answered.append((time.time(), key))
        elif answer.status:
            self.codes[f"{answer.status} {answer.code()}"] += 1
        if answer.status == 429 and "retry-after" not in answer.headers:
            self.denied_without_wait += 1

    @property
    def calls(self) -> int:
        """How many calls there were."""
        return sum(self.outcomes.values())

    @property
    def good(self) -> int:
        """How many were answered whole."""
        return self.outcomes["200"]

    def other_than(self, *expected: str) -> Counter[str]:
        """What came back that is none of these: statuses with the word of their error, or what went wrong instead."""
        faults = {word: count for word, count in self.outcomes.items() if not word.isdigit()}
        found = {**faults, **self.codes}
        return Counter({word: count for word, count in found.items() if count and word.split()[0] not in expected})

    def add(self, other: "Tally") -> None:
        """Adds what another crowd met."""
        self.outcomes += other.outcomes
        self.codes += other.codes
        self.ms += other.ms
        self.every_ms += other.every_ms
        self.denied_without_wait += other.denied_without_wait
        self.answered += other.answered


def percentile(values: Sequence[float], share: float) -> float:
    """Returns the value below which a share of them lies; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@dataclass
class Crowd:
    """Callers that come back with each answer, or at a rate of their own."""

    doors: Sequence[int]
    keys: Sequence[str]
    callers: int
    words: Words | Callable[[], Words] = Words()
    # Calls a second of all together; as fast as they are answered when not said.
    rate: float | None = None
    # How long a caller that was refused waits: what it was told, but no longer than this.
    longest_wait_s: float = 1.0
    patience_s: float = 60.0
    leave_after: int = 0
    most_calls: int | None = None

    def __post_init__(self) -> None:
        self.tally = Tally()
        self._is_over = asyncio.Event()
        self._begun = 0

    async def run(self, seconds: float) -> Tally:
        """Calls for a time, waits for the last answers, and tells how it went."""
        asyncio.get_running_loop().call_later(seconds, self._is_over.set)
        await asyncio.gather(*(self._call_on(number) for number in range(self.callers)))
        return self.tally

    def stop(self) -> None:
        """Lets no further call begin."""
        self._is_over.set()

    def begin(self, seconds: float = 3600.0) -> asyncio.Task[Tally]:
        """Calls in the background."""
        return asyncio.create_task(self.run(seconds))

    async def _call_on(self, number: int) -> None:
        client = Client(self.patience_s)
        key = self.keys[number % len(self.keys)]
        pace = self.callers / self.rate if self.rate else 0.0
        next_at = time.monotonic() + (random.uniform(0, pace) if pace else 0.0)
        turn = number
        while not self._is_over.is_set() and self._may_begin():
            await self._pause(next_at - time.monotonic())
            if self._is_over.is_set():
                break
            self._begun += 1
            answer = await self._call(client, key, turn)
            next_at = next_at + pace if pace else 0.0
            wait = self._wait_after(answer)
            # As a balancer would: the next door.
            turn += 1
            await self._pause(wait)
        client.close()

    def _may_begin(self) -> bool:
        return self.most_calls is None or self._begun < self.most_calls

    async def _call(self, client: Client, key: str, turn: int) -> Answer:
        words = self.words() if callable(self.words) else self.words
        door = self.doors[turn % len(self.doors)]
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        answer = await client.ask(door, "POST", "/v1/chat/completions", headers, words.body(), self.leave_after)
        self.tally.note(answer, key)
        return answer

    def _wait_after(self, answer: Answer) -> float:
        if answer.fault == "refused":
            return random.uniform(0.02, 0.1)
        if answer.status in (429, 503):
            told = float(answer.headers.get("retry-after", "1"))
            return random.uniform(0.5, 1.0) * min(told, self.longest_wait_s)
        return 0.0

    async def _pause(self, seconds: float) -> None:
        if seconds <= 0:
            return
        try:
            await asyncio.wait_for(self._is_over.wait(), seconds)
        except TimeoutError:
            return
