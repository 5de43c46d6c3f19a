"""Every case of the matrix, in its order."""

from importlib import import_module

_PAGES = ("limits", "redis_odd", "redis_lost")


def load() -> None:
    """Enters all cases."""
    for page in _PAGES:
        import_module(f".{page}", __name__)
