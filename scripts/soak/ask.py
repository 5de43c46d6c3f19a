"""Asks a running sidecar every list and report many times at random; prints p50 and p99, fails above the bound."""

import math
import os
import random
import re
import sys

from api import Api
from busy import busy_ms
from lists import Document, is_asked
from questions import OURS, Known, questions

BOUND_MS = 100
BIG, SMALL = 200, 30  # How often a question to the books is asked, and any other.


def measure(api, servers, name, make, count):
    """Asks and prints; returns the p99."""
    times, before = [], busy_ms(*servers)
    for _ in range(count):
        path = make()
        status, took, text = api.get(path)
        assert status == 200, (status, path, text[:500])
        times.append(took)
    busy = (busy_ms(*servers) - before) / count
    times.sort()

    def rank(share):
        return times[max(0, math.ceil(share * len(times)) - 1)]

    p99 = rank(0.99)
    print(f"{name:<80} {count:>5} {busy:>7.1f} {rank(0.5):>8.1f} {p99:>8.1f} {times[-1]:>8.1f}"
          f"{'  slow' if BOUND_MS < p99 else ''}", flush=True)
    return p99


def everything(api, document, known):
    """Every question there is: its name, a function that makes one at random, and how often to ask."""
    for name, make in questions(known):
        yield name, make, BIG
    for path, operation in document.gets().items():
        if is_asked(path) and not path.endswith(OURS):
            for name, make in document.questions(path, operation):
                yield name.replace("/api/v1", "").replace("organizations/{organization_id}", "…"), make, SMALL


def left_out(document):
    """Operations that nobody asks, because the list that would lead to them is empty or has nothing in it."""
    for path, operation in document.gets().items():
        if not is_asked(path) or path.endswith(OURS):
            continue
        concrete = document.concrete(path)
        is_list = any(p["name"] == "cursor" for p in operation.get("parameters", []))
        if concrete is None or (is_list and not document.api.json(concrete)["data"]):
            yield path


def main():
    url, email, password, organization = sys.argv[1:5]
    servers = [int(pid) for pid in sys.argv[5:]]  # The sidecar's and Postgres's.
    random.seed(1)
    api = Api(url, email, password)
    receipts = api.json(f"/api/v1/organizations/{organization}/savings")["check"]
    assert receipts["agrees"] and receipts["checked"] and not receipts["unknown"], receipts
    document = Document(api, organization)
    missing = list(left_out(document))
    assert not missing, f"nothing to ask of {missing}"
    known = Known(api, organization)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    print(f"{'':<80} {'times':>5} {'cpu ms':>7} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}")
    only = re.compile(os.environ.get("SOAK_ONLY", ""))
    asked = [question for question in everything(api, document, known) if only.search(question[0])]
    slow = [question for question in asked if BOUND_MS < measure(api, servers, *question)]
    if slow:
        print(f"{len(slow)} of {len(asked)} above {BOUND_MS} ms, asked again (load {os.getloadavg()[0]:.1f}):")
        slow = [question for question in slow if BOUND_MS < measure(api, servers, *question)]
    print(f"{len(asked)} questions to {len(document.gets())} operations, {len(slow)} slower than {BOUND_MS} ms at p99")
    sys.exit(1 if slow else 0)


if __name__ == "__main__":
    main()
