"""Asks a running sidecar every list and report many times at random; prints p50 and p99, fails above the bound."""

import http.client
import json
import math
import random
import sys
import time
from datetime import datetime, timedelta, timezone
from urllib.parse import urlencode, urlsplit

BOUND_MS = 100
BIG, SMALL = 200, 30  # Calls of each question of ours, and of each other list.
DAYS = 90


class Api:
    """One kept connection, as somebody who signed in."""

    def __init__(self, url, email, password):
        self.url, self.email, self.password = urlsplit(url), email, password
        self.connection, self.token, self.since = None, None, 0

    def call(self, method, path, body=None):
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=30)
        headers = {"content-type": "application/json"} if body else {}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        began = time.perf_counter()
        self.connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        return answer.status, (time.perf_counter() - began) * 1000, text

    def get(self, path):
        # A token counts for ten minutes.
        if self.since + 400 < time.monotonic():
            self.token = None
            body = {"email": self.email, "password": self.password}
            status, _, text = self.call("POST", "/api/v1/auth/login", body)
            assert status == 200, text
            self.token, self.since = json.loads(text)["access_token"], time.monotonic()
        return self.call("GET", path)

    def json(self, path):
        status, _, text = self.get(path)
        assert status == 200, (path, text)
        return json.loads(text)


def moment(at):
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def period(longest, shortest=1):
    """A random stretch of the last days."""
    now = datetime.now(timezone.utc)
    length = random.uniform(shortest, longest)
    to = now - timedelta(days=random.uniform(0, DAYS - length))
    return {"from": moment(to - timedelta(days=length)), "to": moment(to)}


def whole():
    now = datetime.now(timezone.utc)
    return {"from": moment(now - timedelta(days=DAYS)), "to": moment(now)}


class Known:
    """Ids to ask with."""

    def __init__(self, api, organization):
        self.organization = organization
        base = f"/api/v1/organizations/{organization}"

        def ids(by):
            rows = api.json(f"{base}/usage?{urlencode({**whole(), 'group_by': by, 'limit': 1000})}")["data"]
            return [row["group"]["id"] for row in rows if row["group"]["id"]]

        self.ids = {by: ids(by) for by in ("group", "user", "key", "model", "provider", "offer")}
        self.requests = []
        cursor = None
        for _ in range(10):
            page = api.json(f"{base}/requests?{urlencode({'limit': 200, **({'cursor': cursor} if cursor else {})})}")
            self.requests += page["data"]
            cursor = page["next_cursor"]

    def one(self, by):
        return random.choice(self.ids[by])


def questions(known):
    """Every question of ours: its name, and a function that makes one at random."""
    here = f"/api/v1/organizations/{known.organization}"
    fields = {"group": "group_id", "user": "user_id", "key": "api_key_id", "model": "model_id", "provider": "provider_id",
              "offer": "offer_id"}

    def at(path, **fixed):
        return lambda **more: f"{path}?{urlencode({**fixed, **more})}"

    ask = []
    usage, platform, requests = f"{here}/usage", "/api/v1/platform/usage", f"{here}/requests"
    for by in ("none", "group", "user", "key", "model", "provider", "offer", "tier"):
        ask.append((f"usage by {by}, 90 days", lambda by=by: at(usage, group_by=by)(**whole())))
        ask.append((f"usage by {by} and day", lambda by=by: at(usage, group_by=by, interval="day")(**period(90))))
        ask.append((f"usage by {by} and hour", lambda by=by: at(usage, group_by=by, interval="hour")(**period(7))))
    for by in ("none", "model", "key"):
        ask.append((f"usage by {by} and day in Berlin", lambda by=by: at(
            usage, group_by=by, interval="day", zone="Europe/Berlin")(**period(31 if by == "key" else 90))))
        ask.append((f"usage by {by} and month in Tokyo", lambda by=by: at(
            usage, group_by=by, interval="month", zone="Asia/Tokyo")(**whole())))
    for narrow in fields:
        ask.append((f"usage of one {narrow} by day", lambda narrow=narrow: at(usage, interval="day")(
            **{fields[narrow]: known.one(narrow)}, **period(90))))
        ask.append((f"usage of one {narrow} by model", lambda narrow=narrow: at(usage, group_by="model")(
            **{fields[narrow]: known.one(narrow)}, **period(90))))
        ask.append((f"usage of one {narrow} by key", lambda narrow=narrow: at(usage, group_by="key")(
            **{fields[narrow]: known.one(narrow)}, **period(90))))
    ask.append(("usage of a tier by key", lambda: at(usage, group_by="key", tier="free")(**period(90))))
    ask.append(("usage as a file", lambda: at(usage, group_by="model", interval="day", format="csv")(**whole())))
    ask.append(("usage of a key", lambda: at(f"{here}/keys/{known.one('key')}/usage", interval="day")(**period(90))))
    ask.append(("my usage", lambda: at("/api/v1/me/usage", organization_id=known.organization, interval="day",
                                       group_by="model")(**period(90))))
    for by in ("none", "organization", "model", "provider", "offer", "tier"):
        ask.append((f"everybody's usage by {by}, 90 days", lambda by=by: at(platform, group_by=by)(**whole())))
        ask.append((f"everybody's usage by {by} and day", lambda by=by: at(platform, group_by=by, interval="day")(
            **period(90))))
    ask.append(("everybody's usage of a model by organization", lambda: at(platform, group_by="organization")(
        model_id=known.one("model"), **period(90))))
    ask.append(("one organization's usage, by the platform", lambda: at(
        platform, group_by="key", organization_id=known.organization)(**period(90))))
    for narrow in fields:
        ask.append((f"calls of one {narrow}", lambda narrow=narrow: at(requests, limit=200)(
            **{fields[narrow]: known.one(narrow)}, **period(90))))
    ask.append(("calls", lambda: at(requests, limit=200)(**period(90))))
    ask.append(("calls, oldest first", lambda: at(requests, limit=200, order="asc")(**period(90))))
    ask.append(("failed calls", lambda: at(requests, is_failed="true")(**period(90))))
    ask.append(("failed calls of a key", lambda: at(requests, is_failed="true")(api_key_id=known.one("key"))))
    ask.append(("cut calls of a model", lambda: at(requests, finish="upstream_cut")(model_id=known.one("model"))))
    ask.append(("streamed calls of a key to a model", lambda: at(requests, is_stream="true")(
        api_key_id=known.one("key"), model_id=known.one("model"))))
    ask.append(("calls that are not there", lambda: at(requests, requested_model="nothing")(**period(90))))
    ask.append(("calls by the caller's id", lambda: at(requests)(client_request_id=f"mine-{random.randrange(10**6)}")))
    ask.append(("the next page of calls", lambda: at(requests, cursor=random.choice(known.cursors))()))
    ask.append(("one call", lambda: f"{requests}/{random.choice(known.requests)['id']}"))
    ask.append(("savings, 90 days", lambda: at(f"{here}/savings")(**whole())))
    ask.append(("savings", lambda: at(f"{here}/savings")(**period(90))))
    ask.append(("receipts", lambda: at(f"{here}/savings/receipts", limit=200)(**period(90))))
    return ask


def others(api, known, named):
    """Every other list and report of the document."""
    document = api.json("/api/openapi.json")
    skipped = ("/export", "/verification")  # Work over everything, on purpose.
    for path, item in sorted(document["paths"].items()):
        concrete = path.replace("{organization_id}", known.organization)
        if "get" not in item or "{" in concrete or path in named or path.endswith(skipped):
            continue
        if item["get"].get("x-permission") == "public":
            continue
        limit = any(p.get("name") == "limit" for p in item["get"].get("parameters", []))
        yield path, concrete + ("?limit=200" if limit else "")


def measure(api, name, make, count):
    times = []
    for _ in range(count):
        path = make()
        status, took, text = api.get(path)
        assert status == 200, (status, path, text[:500])
        times.append(took)
    times.sort()

    def rank(share):
        return times[max(0, math.ceil(share * len(times)) - 1)]

    is_slow = BOUND_MS < rank(0.99)
    print(f"{name:<52} {count:>5} {rank(0.5):>8.1f} {rank(0.99):>8.1f} {times[-1]:>8.1f}{'  slow' if is_slow else ''}",
          flush=True)
    return is_slow


def main():
    url, email, password, organization = sys.argv[1:5]
    random.seed(1)
    api = Api(url, email, password)
    known = Known(api, organization)
    known.cursors = [api.json(f"/api/v1/organizations/{organization}/requests?{urlencode({'limit': 1, **period(89)})}")
                     ["next_cursor"] for _ in range(20)]
    receipts = api.json(f"/api/v1/organizations/{organization}/savings")["check"]
    assert receipts["agrees"] and receipts["checked"] and not receipts["unknown"], receipts
    print(f"{'':<52} {'calls':>5} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}")
    slow = [measure(api, name, make, BIG) for name, make in questions(known)]
    ours = ("/usage", "/requests", "/savings", "/savings/receipts")
    named = {path for path in api.json("/api/openapi.json")["paths"] if path.endswith(ours)}
    for name, path in others(api, known, named):
        slow.append(measure(api, name, lambda path=path: path, SMALL))
    print(f"{len(slow)} questions, {sum(slow)} slower than {BOUND_MS} ms at p99")
    sys.exit(1 if any(slow) else 0)


if __name__ == "__main__":
    main()
