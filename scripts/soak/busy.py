"""How long processes ran on a processor: what a question costs, whatever else the machine does."""

from pathlib import Path

PROC = Path("/proc")


def run_ns(task):
    """Nanoseconds that one thread ran; nothing when it has ended or nobody counts."""
    try:
        return int((task / "schedstat").read_text().split()[0])
    except (OSError, IndexError, ValueError):
        return 0


def parent(process):
    try:
        # The name before it may hold anything, brackets too.
        return int((process / "stat").read_text().rsplit(")", 1)[1].split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def busy_ms(*leaders):
    """Milliseconds that these processes and their children ran, all threads of them."""
    processes = [entry for entry in PROC.glob("[0-9]*") if int(entry.name) in leaders or parent(entry) in leaders]
    return sum(run_ns(task) for process in processes for task in process.glob("task/*")) / 1e6
