"""A wall clock of a case's own: what processes that were started with it read instead of the machine's."""

import mmap
import shutil
import struct
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from .bench import Skip

_SOURCE = Path(__file__).with_name("clock.c")


class Clock:
    """A clock that can be put ahead and back while it runs."""

    def __init__(self, folder: Path) -> None:
        library = folder / "clock.so"
        if not library.exists():
            compiler = shutil.which("cc")
            if compiler is None:
                raise Skip("no C compiler to build the clock with")
            subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, _SOURCE], check=True)
        path = folder / "clock.offset"
        path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), 8)
        self._env = {"LD_PRELOAD": str(library), "FAULTS_CLOCK": str(path)}

    def set(self, ahead_s: float) -> None:
        """Puts it so many seconds ahead of the machine's."""
        self._page[:] = struct.pack("=q", int(ahead_s * 1e9))

    def of(self, *names: str) -> dict[str, dict[str, str]]:
        """Returns the environment that gives it to the named processes of a bench."""
        return {name: self._env for name in names}


def ahead_of(moment: datetime, lead_s: float) -> float:
    """Returns how far ahead a clock must be so that a moment comes in so many seconds."""
    return (moment - datetime.now(UTC)).total_seconds() - lead_s
