"""Who the fuzzer is: one owner who also runs the platform, and somebody else wherever an operation ends its caller."""

import json
import os
import subprocess
import urllib.request

import schemathesis

ADMIN_URL = os.environ["SYNAXIS_ADMIN_URL"]
PASSWORD = "the fuzzer knocks at every door"
OWNER = "fuzz@example.com"

# After these the caller, or the caller's token, is no more: each has people of its own.
FATAL = ("/api/v1/me", "/api/v1/auth")


def make_person(email, *arguments):
    """As an operator does."""
    command = [os.environ["SYNAXIS_BINARY"], "users", "create", "--email", email, "--password-stdin", "--json", *arguments]
    made = subprocess.run(command, input=PASSWORD, text=True, check=True, capture_output=True)
    return json.loads(made.stdout)["id"]


def post(path, body, token=None):
    headers = {"content-type": "application/json"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    request = urllib.request.Request(ADMIN_URL + path, json.dumps(body).encode(), headers, method="POST")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def sign_in(email):
    return post("/api/v1/auth/login", {"email": email, "password": PASSWORD})["access_token"]


known = set()


def person_for(case, context):
    operation = context.operation
    is_fatal = operation.path.startswith(FATAL) and operation.method.upper() != "GET"
    return f"{operation.method}-{operation.path}".lower().translate(PLAIN) + "@example.com" if is_fatal else OWNER


PLAIN = {ord(letter): "-" for letter in "/{}_."}


@schemathesis.auth(refresh_interval=240, cache_by_key=person_for, retry_on=[401])
class Token:
    def get(self, case, context):
        email = person_for(case, context)
        if email != OWNER and email not in known:
            make_person(email)
            known.add(email)
        return sign_in(email)

    def set(self, case, data, context):
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {data}"
