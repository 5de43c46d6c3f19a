"""Every case of the matrix, in its order."""

from importlib import import_module

from ..case import CASES

_PAGES = ("limits", "clocks", "deaths", "redis_odd", "redis_lost", "books", "disk", "retention", "upkeep", "crowd")


def load() -> None:
    """Enters all cases."""
    for page in _PAGES:
        import_module(f".{page}", __name__)
    CASES.sort(key=lambda one: (one.is_extra, int(one.name[1:]) if one.name[1:].isdigit() else 0, one.name))
