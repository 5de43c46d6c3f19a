"""A TCP relay that spoils what passes it: toxiproxy's verbs, in a process of its own.

Run as `python3 -m faults.relay`, it reads one order of JSON a line and answers each with a line:
`{"do": "open", "name", "port", "target"}`, `{"do": "set", "name", …Toxics}`, `{"do": "aim", "name", "port"}`,
`{"do": "reset", "name"}`, `{"do": "stats", "name"}`.
"""

import asyncio
import json
import random
import socket
import struct
import sys
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

_RESET = struct.pack("ii", 1, 0)


@dataclass
class Toxics:
    """What a relay does to what passes it; nothing, as it stands."""

    # Each way takes so much longer, give or take.
    latency_ms: float = 0.0
    jitter_ms: float = 0.0
    # Connections are taken, and nothing passes.
    is_black_hole: bool = False
    # Nobody listens, and what was open is reset.
    is_down: bool = False
    # Answers come in pieces of so many bytes, so far apart.
    slice_bytes: int = 0
    slice_ms: float = 0.0
    # A connection ends after so many bytes of answers.
    limit_bytes: int = 0
    # So many answers are swallowed, each with its connection: what was asked is done, and nobody hears of it.
    replies_to_drop: int = 0


class _Side(asyncio.Protocol):
    """One end of a connection; what it reads goes out of the other."""

    def __init__(self, pair: "_Pair", is_server: bool) -> None:
        self.pair = pair
        self.is_server = is_server
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self.pair.passed(self, data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.pair.lost(self, exc)

    def pause_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other and self.other.transport and not self.other.transport.is_closing():
            self.other.transport.resume_reading()


class _Way:
    """What is under way to one end: it arrives in the order it was sent, whenever that is."""

    def __init__(self, to: _Side) -> None:
        self.to = to
        self._queue: deque[tuple[float, bytes | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.is_reset = False

    def send(self, data: bytes | None, wait_s: float = 0.0) -> None:
        """Lets data arrive after a time, and after all before it; nothing is the end."""
        loop = asyncio.get_running_loop()
        last = self._queue[-1][0] if self._queue else 0.0
        self._queue.append((max(loop.time() + wait_s, last), data))
        if self._timer is None:
            self._deliver()

    def hold(self, data: bytes) -> None:
        """Keeps data until `go`."""
        self._queue.append((0.0, data))

    def go(self) -> None:
        """Delivers what was kept."""
        self._deliver()

    def _deliver(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._queue and self._queue[0][0] <= loop.time():
            _, data = self._queue.popleft()
            transport = self.to.transport
            if transport is None or transport.is_closing():
                continue
            if data is not None:
                transport.write(data)
            elif self.is_reset:
                _abort(transport)
            else:
                transport.close()
        if self._queue:
            self._timer = loop.call_at(self._queue[0][0], self._deliver)


class _Pair:
    """Both ends of one relayed connection."""

    def __init__(self, relay: "Relay") -> None:
        self.relay = relay
        self.near = _Side(self, is_server=False)
        self.far = _Side(self, is_server=True)
        self.near.other, self.far.other = self.far, self.near
        self.is_joined = False
        self._answered = 0
        self._ways = {False: _Way(self.far), True: _Way(self.near)}

    async def begin(self) -> None:
        """Connects to the target, and sends what came meanwhile."""
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: self.far, "127.0.0.1", self.relay.target)
        except OSError:
            self.close(is_reset=True)
            return
        self.is_joined = True
        self._ways[False].go()
        if self.near.transport is None or self.near.transport.is_closing():
            self.close(is_reset=False)

    def passed(self, side: _Side, data: bytes) -> None:
        toxics = self.relay.toxics
        if toxics.is_black_hole:
            return
        self.relay.bytes += len(data)
        way = self._ways[side.is_server]
        if not side.is_server and not self.is_joined:
            way.hold(data)
        elif not side.is_server or self._may_answer(data, toxics):
            wait_s = max(0.0, toxics.latency_ms + random.uniform(-toxics.jitter_ms, toxics.jitter_ms)) / 1000
            step = toxics.slice_bytes if side.is_server and toxics.slice_bytes else len(data)
            for number, start in enumerate(range(0, len(data), step)):
                way.send(
                    data[start : start + step], wait_s + (number * toxics.slice_ms / 1000 if step < len(data) else 0)
                )

    def _may_answer(self, data: bytes, toxics: Toxics) -> bool:
        """Counts an answer; says whether it may pass."""
        if 0 < toxics.replies_to_drop:
            toxics.replies_to_drop -= 1
            self.relay.dropped += 1
            self.close(is_reset=True)
            return False
        self._answered += len(data)
        if toxics.limit_bytes and toxics.limit_bytes < self._answered:
            self.close(is_reset=False)
            return False
        return True

    def lost(self, side: _Side, exc: Exception | None) -> None:
        if self.relay.toxics.is_black_hole:
            # Nobody hears that the other side left.
            return
        # What is under way arrives before the news that its sender left.
        way = self._ways[side.is_server]
        way.is_reset = exc is not None
        way.send(None)
        self.relay.pairs.discard(self)

    def close(self, is_reset: bool) -> None:
        for side in (self.near, self.far):
            if side.transport and not side.transport.is_closing():
                if is_reset:
                    _abort(side.transport)
                else:
                    side.transport.close()
        self.relay.pairs.discard(self)


def _abort(transport: asyncio.Transport) -> None:
    """Resets a connection: the other end is told that something is wrong."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


@dataclass
class Relay:
    """One listener before one server."""

    port: int
    target: int
    toxics: Toxics = field(default_factory=Toxics)
    pairs: set[_Pair] = field(default_factory=set)
    bytes: int = 0
    connections: int = 0
    dropped: int = 0
    _server: asyncio.Server | None = None
    _beginnings: set[asyncio.Task[None]] = field(default_factory=set)

    async def listen(self) -> None:
        """Takes connections, again after a time when it was down."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._take, "127.0.0.1", self.port, backlog=1024)

    def _take(self) -> _Side:
        pair = _Pair(self)
        self.pairs.add(pair)
        self.connections += 1
        beginning = asyncio.get_running_loop().create_task(pair.begin())
        self._beginnings.add(beginning)
        beginning.add_done_callback(self._beginnings.discard)
        return pair.near

    async def set(self, toxics: Toxics) -> None:
        """Spoils from now on as told."""
        was_black_hole = self.toxics.is_black_hole
        self.toxics = toxics
        if toxics.is_down:
            if self._server:
                self._server.close()
                self._server = None
            self.reset()
            return
        if was_black_hole and not toxics.is_black_hole:
            # What was swallowed is missing from these connections: they cannot go on.
            self.reset()
        await self.listen()

    def reset(self) -> None:
        """Resets every connection there is."""
        for pair in list(self.pairs):
            pair.close(is_reset=True)


async def _obey(relays: dict[str, Relay], order: dict[str, Any]) -> dict[str, Any]:
    do, name = order.pop("do"), order.pop("name")
    if do == "open":
        relays[name] = Relay(order["port"], order["target"])
        await relays[name].listen()
    elif do == "set":
        await relays[name].set(Toxics(**order))
    elif do == "aim":
        relays[name].target = order["port"]
    elif do == "reset":
        relays[name].reset()
    relay = relays[name]
    return {"connections": relay.connections, "open": len(relay.pairs), "bytes": relay.bytes, "dropped": relay.dropped}


async def _serve() -> None:
    relays: dict[str, Relay] = {}
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        answer = await _obey(relays, json.loads(line))
        print(json.dumps(answer), flush=True)


class Relays:
    """The relays of a bench, in a process of their own: a busy caller must not make Redis look slow."""

    def __init__(self) -> None:
        self._child: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self.ports: dict[str, int] = {}

    async def start(self) -> None:
        """Starts the process."""
        self._child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "faults.relay",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )

    async def _order(self, do: str, name: str, **more: Any) -> dict[str, Any]:
        assert self._child and self._child.stdin and self._child.stdout
        async with self._turn:
            self._child.stdin.write(json.dumps({"do": do, "name": name, **more}).encode() + b"\n")
            line = await self._child.stdout.readline()
        if not line:
            raise RuntimeError("the relays ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def open(self, name: str, port: int, target: int) -> None:
        """Begins to relay from one port to another."""
        await self._order("open", name, port=port, target=target)
        self.ports[name] = port

    async def spoil(self, name: str, toxics: Toxics) -> None:
        """Spoils what passes `name`."""
        await self._order("set", name, **asdict(toxics))

    async def aim(self, name: str, port: int) -> None:
        """Leads new connections of `name` to another port."""
        await self._order("aim", name, port=port)

    async def reset(self, name: str) -> None:
        """Resets every connection through `name`."""
        await self._order("reset", name)

    async def stats(self, name: str) -> dict[str, int]:
        """What passed `name` so far."""
        return await self._order("stats", name)

    async def stop(self) -> None:
        """Ends the process."""
        if self._child and self._child.stdin:
            self._child.stdin.close()
            await self._child.wait()


if __name__ == "__main__":
    asyncio.run(_serve())
