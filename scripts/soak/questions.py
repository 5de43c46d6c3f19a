"""Every question to the books: reports, calls, savings."""

import random
from urllib.parse import urlencode

from api import period, whole

# What these ask: how the paths of the document end.
OURS = ("/usage", "/requests", "/requests/{request_id}", "/savings", "/savings/receipts")


class Known:
    """Ids to ask with."""

    def __init__(self, api, organization):
        self.organization = organization
        base = f"/api/v1/organizations/{organization}"

        def ids(by):
            rows = api.json(f"{base}/usage", group_by=by, limit=1000, **whole())["data"]
            return [row["group"]["id"] for row in rows if row["group"]["id"]]

        self.ids = {by: ids(by) for by in ("group", "user", "key", "model", "provider", "offer")}
        self.requests = [row for page in api.pages(f"{base}/requests", 10, limit=200) for row in page["data"]]
        cursors = [api.json(f"{base}/requests", limit=1, **period(89))["next_cursor"] for _ in range(20)]
        self.cursors = [cursor for cursor in cursors if cursor]

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
            usage, group_by=by, interval="day", zone="Europe/Berlin")(**period(90))))
        ask.append((f"usage by {by} and month in Tokyo", lambda by=by: at(
            usage, group_by=by, interval="month", zone="Asia/Tokyo")(**whole())))
    for narrow in fields:
        # One sum out of whole calls is made of a month at once, but for one key's or person's.
        longest = 90 if narrow in ("user", "key") else 31
        ask.append((f"usage of one {narrow} by day", lambda narrow=narrow: at(usage, interval="day")(
            **{fields[narrow]: known.one(narrow)}, **period(90))))
        for by in ("model", "key"):
            ask.append((f"usage of one {narrow} by {by}", lambda narrow=narrow, by=by, longest=longest: at(usage, group_by=by)(
                **{fields[narrow]: known.one(narrow)}, **period(longest))))
            ask.append((f"usage of one {narrow} by {by} and month", lambda narrow=narrow, by=by: at(
                usage, group_by=by, interval="month")(**{fields[narrow]: known.one(narrow)}, **whole())))
    for tier in ("free", "paid"):
        ask.append((f"usage of {tier} offers by key", lambda tier=tier: at(usage, group_by="key", tier=tier)(**period(14))))
        ask.append((f"usage of {tier} offers by key and day", lambda tier=tier: at(
            usage, group_by="key", interval="day", tier=tier)(**period(90))))
        ask.append((f"usage of a provider's {tier} offers by day in Berlin", lambda tier=tier: at(
            usage, interval="day", zone="Europe/Berlin", tier=tier)(provider_id=known.one("provider"), **period(31))))
    ask.append(("usage as a file", lambda: at(usage, group_by="model", interval="day", format="csv")(**whole())))
    ask.append(("usage of a key", lambda: at(f"{here}/keys/{known.one('key')}/usage", interval="day")(**period(90))))
    ask.append(("my usage", lambda: at("/api/v1/me/usage", organization_id=known.organization, interval="day",
                                       group_by="model")(**period(90))))
    for by in ("none", "organization", "model", "provider", "offer", "tier"):
        ask.append((f"everybody's usage by {by}, 90 days", lambda by=by: at(platform, group_by=by)(**whole())))
        ask.append((f"everybody's usage by {by} and day", lambda by=by: at(platform, group_by=by, interval="day")(
            **period(90))))
    ask.append(("everybody's usage of a model by organization", lambda: at(platform, group_by="organization")(
        model_id=known.one("model"), **period(31))))
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
