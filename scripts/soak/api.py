"""A sidecar, as somebody asks it who signed in."""

import http.client
import json
import random
import time
from datetime import datetime, timedelta, timezone
from urllib.parse import urlencode, urlsplit

DAYS = 90  # How far back the calls go.


class Api:
    """One kept connection."""

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

    def json(self, path, **parameters):
        path = f"{path}?{urlencode(parameters)}" if parameters else path
        status, _, text = self.get(path)
        assert status == 200, (path, text)
        return json.loads(text)

    def pages(self, path, count, **parameters):
        """The first pages of a list."""
        cursor = {}
        for _ in range(count):
            page = self.json(path, **parameters, **cursor)
            yield page
            if page["next_cursor"] is None:
                return
            cursor = {"cursor": page["next_cursor"]}


def moment(at):
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def period(longest, shortest=1):
    """A random stretch of the last days."""
    length = random.uniform(shortest, longest)
    to = datetime.now(timezone.utc) - timedelta(days=random.uniform(0, DAYS - length))
    return {"from": moment(to - timedelta(days=length)), "to": moment(to)}


def whole():
    now = datetime.now(timezone.utc)
    return {"from": moment(now - timedelta(days=DAYS)), "to": moment(now)}
