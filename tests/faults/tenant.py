"""An organization with its groups, keys and limits, made over the sidecar's API as its people would."""

import json
from dataclasses import dataclass
from typing import Any

from .load import Answer, Client

OWNER = "owner@faults.example"
PASSWORD = "nothing is lost that was written down"


@dataclass(frozen=True)
class Terms:
    """How much of what, per which window."""

    meter: str
    window: str
    amount: int
    enforcement: str | None = None
    zone: str | None = None

    def written(self) -> dict[str, Any]:
        """As the API takes it."""
        said = {"meter": self.meter, "window": self.window, "amount": self.amount}
        more = {"enforcement": self.enforcement, "zone": self.zone}
        return said | {name: value for name, value in more.items() if value is not None}


@dataclass(frozen=True)
class Key:
    """Somebody's key."""

    id: str
    text: str


class Api:
    """The sidecar, asked by somebody who signed in."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._client = Client(30.0)
        self._token = ""

    async def sign_in(self) -> None:
        """Signs in as the platform's operator, who owns the organization too."""
        answer = await self.send("POST", "/api/v1/auth/login", {"email": OWNER, "password": PASSWORD})
        self._token = str(answer.json()["access_token"])

    async def send(self, method: str, path: str, body: Any = None, tag: str = "") -> Answer:
        """Asks once, and returns what was answered whatever it is."""
        headers = {"content-type": "application/json"} if body is not None else {}
        if self._token:
            headers["authorization"] = f"Bearer {self._token}"
        if tag:
            headers["if-match"] = tag
        written = json.dumps(body).encode() if body is not None else b""
        return await self._client.ask(self.port, method, path, headers, written)

    async def must(self, method: str, path: str, body: Any = None, tag: str = "") -> Any:
        """Asks for what must work, and returns the answer read."""
        answer = await self.send(method, path, body, tag)
        if not 200 <= answer.status < 300:
            raise RuntimeError(f"{method} {path}: {answer.outcome} {answer.body.decode(errors='replace')}")
        return answer.json() if answer.body else None


class Tenant:
    """One organization."""

    def __init__(self, api: Api, organization: str) -> None:
        self.api = api
        self.id = organization
        self._base = f"/api/v1/organizations/{organization}"

    async def group(self, name: str) -> str:
        """Makes a group and returns its id."""
        made = await self.api.must("POST", f"{self._base}/groups", {"name": name})
        return str(made["id"])

    async def key(self, name: str = "key", limits: list[Terms] | None = None, group: str | None = None) -> Key:
        """Makes a key with limits of its own."""
        asked: dict[str, Any] = {"name": name, "limits": [terms.written() for terms in limits or []]}
        if group:
            asked["group_id"] = group
        made = await self.api.must("POST", f"{self._base}/keys", asked)
        return Key(id=str(made["id"]), text=str(made["api_key"]))

    async def limit(self, kind: str, terms: Terms, **of: str) -> str:
        """Limits a subject and returns the limit's id."""
        asked = {"subject": {"kind": kind, **of}, "terms": terms.written()}
        made = await self.api.must("POST", f"{self._base}/limits", asked)
        return str(made["id"])

    async def change_limit(self, limit: str, amount: int) -> None:
        """Changes how much a limit permits."""
        path = f"{self._base}/limits/{limit}"
        shown = await self.api.send("GET", path)
        await self.api.must("PATCH", path, {"amount": amount}, shown.headers["etag"])


@dataclass(frozen=True)
class Standing:
    """What a proxy says of one limit of a key: read from Redis, the third ledger."""

    of: str
    meter: str
    window: str
    limit: int
    remaining: int

    @property
    def used(self) -> int:
        """What is counted."""
        return self.limit - self.remaining


async def standings(port: int, key: Key) -> list[Standing]:
    """Asks a proxy what is left of a key's limits."""
    client = Client(10.0)
    answer = await client.ask(port, "GET", "/v1/key", {"authorization": f"Bearer {key.text}"})
    client.close()
    if answer.status != 200:
        raise RuntimeError(f"/v1/key: {answer.outcome} {answer.body.decode(errors='replace')}")
    names = Standing.__dataclass_fields__
    return [Standing(**{name: line[name] for name in names}) for line in answer.json()["limits"]]
