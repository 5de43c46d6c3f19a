"""Keys by the thousand, written into the books as they stand there: making them one by one would take an hour."""

import hashlib
import secrets
import string
import uuid
import zlib

from .bench import Bench

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase

_COPY_KEYS = "copy operations.api_keys (id, organization_id, lineage_id, name, public_id, secret_hash) from stdin;"
_COPY_LIMITS = (
    "copy operations.limits (id, organization_id, subject_kind, api_key_id, meter, time_window, amount, enforcement)"
    " from stdin;"
)


def _base62(number: int, digits: int) -> str:
    text = ""
    for _ in range(digits):
        number, digit = divmod(number, 62)
        text = _ALPHABET[digit] + text
    return text


def _text(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


async def mint(bench: Bench, count: int) -> list[str]:
    """Makes keys with a limit of calls a minute and one of money a month each; returns their texts."""
    keys, rows, limits = [], [], []
    for _ in range(count):
        public, secret, key = _text(16), _text(43), uuid.uuid4()
        covered = f"synaxis_build_{public}_{secret}"
        keys.append(covered + _base62(zlib.crc32(covered.encode()), 6))
        digest = hashlib.sha256(secret.encode()).hexdigest()
        rows.append(f"{key}\t{bench.tenant.id}\t{key}\tkey\t{public}\t\\\\x{digest}")
        for meter, window in (("requests", "minute"), ("nano_usd", "month")):
            limits.append(f"{uuid.uuid4()}\t{bench.tenant.id}\tkey\t{key}\t{meter}\t{window}\t1000000\thard")
    script = [_COPY_KEYS, *rows, "\\.", _COPY_LIMITS, *limits, "\\."]
    await bench.ask("\n".join(script) + "\n")
    return keys
