"""Every list and every single thing of the document, each with every filter it has."""

import random
from urllib.parse import urlencode

from api import period

MOST = 200
# Work over everything, on purpose: files, and chains that are verified link by link.
FILES = ("/audit-logs/export", "/audit-logs/verification", "/me/export", "/price-book")
# Leads to somebody else's sign-in page.
ELSEWHERE = ("/api/v1/auth/oidc/",)

# Where the values of a filter are listed, below an organization.
VALUES = {
    "user_id": "members", "actor_id": "members", "group_id": "groups", "key_id": "keys", "target_id": "keys", "role_id": "roles",
    "provider_id": "providers", "model_id": "models", "offer_id": "offers",
}
WORDS = {"search": ("key 1", "quiet", "person-1", "nothing like it"), "action": ("key.created", "session.started"),
         "target_kind": ("key",)}


def is_asked(path):
    """Says whether a path of the document is a list, a report or a single thing."""
    return not path.endswith(FILES) and not path.startswith(ELSEWHERE)


class Document:
    """What the sidecar says that it answers."""

    def __init__(self, api, organization):
        self.api, self.organization = api, organization
        self.document = api.json("/api/openapi.json")
        self.known = {}

    def gets(self):
        return {path: item["get"] for path, item in sorted(self.document["paths"].items()) if "get" in item}

    def ids(self, path):
        """Ids out of the first pages of a list."""
        if path not in self.known:
            rows = [row for page in self.api.pages(path, 5, limit=MOST) for row in page["data"]]
            self.known[path] = [row.get("id") or row.get("user_id") for row in rows]
        return self.known[path]

    def concrete(self, path):
        """A path with ids in it; nothing when the list they come from is empty."""
        path = path.replace("{organization_id}", self.organization)
        while "{" in path:
            before, after = path.split("/{", 1)
            ids = self.ids(before)
            if not ids:
                return None
            path = f"{before}/{random.choice(ids)}{after.split('}', 1)[1]}"
        return path

    def words(self, parameter):
        """The values a filter may have; nothing when there are too many to name."""
        schema = parameter.get("schema", {})
        choices = schema.get("oneOf", []) + schema.get("anyOf", []) + [schema]
        for choice in choices:
            if "$ref" in choice:
                choice = self.document["components"]["schemas"][choice["$ref"].rsplit("/", 1)[1]]
            # A word with a description of its own is an alternative of one.
            words = choice.get("enum") or [word for some in choice.get("oneOf", []) for word in some.get("enum", [])]
            if words:
                return [word for word in words if word is not None]
            if "boolean" in choice.get("type", ""):
                return ["true", "false"]
        return WORDS.get(parameter["name"], ())

    def filters(self, operation):
        """Every filter with a value, as a function that makes one."""
        for parameter in operation.get("parameters", []):
            name = parameter["name"]
            if parameter["in"] != "query" or name in ("limit", "cursor", "order", "until", "to"):
                continue
            if name == "from":
                until = "until" if any(p["name"] == "until" for p in operation["parameters"]) else "to"
                yield "a period", lambda until=until: dict(zip(("from", until), period(30).values()))
            elif name in VALUES:
                path = f"/api/v1/organizations/{self.organization}/{VALUES[name]}"
                yield f"one {name}", lambda name=name, path=path: {name: random.choice(self.ids(path))}
            else:
                for word in self.words(parameter):
                    yield f"{name}={word}", lambda name=name, word=word: {name: word}

    def questions(self, path, operation):
        """Everything one operation can be asked: a name, and a function that makes a path."""
        is_list = any(p["name"] == "cursor" for p in operation.get("parameters", []))
        if not is_list:
            yield path, lambda: self.concrete(path)
        else:
            yield path, lambda: f"{self.concrete(path)}?limit={MOST}"
            yield f"{path}, the oldest", lambda: f"{self.concrete(path)}?limit={MOST}&order=asc"
            pages = list(self.api.pages(self.concrete(path), 20, limit=MOST // 4))
            cursors = [page["next_cursor"] for page in pages if page["next_cursor"]]
            # Ids in the path lead to lists of their own.
            if cursors and path.count("{") == path.count("{organization_id}"):
                yield f"{path}, further on", lambda: (
                    f"{self.concrete(path)}?{urlencode({'limit': MOST, 'cursor': random.choice(cursors)})}")
        for name, make in self.filters(operation):
            yield f"{path}, {name}", lambda make=make: (
                f"{self.concrete(path)}?{urlencode({**({'limit': MOST} if is_list else {}), **make()})}")
