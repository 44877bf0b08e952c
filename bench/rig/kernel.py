"""The kernel's accounting, read from /proc: CPU and memory of a process tree, and how busy a core was."""

import os
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def process_tree(root):
    """The process and all its descendants."""
    children = {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            fields = Path(entry.path, "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(entry.name))
    tree = [root]
    for pid in tree:
        tree += children.get(pid, [])
    return tree


def _schedstat(pid):
    total = waited = 0
    for task in os.scandir(f"/proc/{pid}/task"):
        on_cpu, delay, _ = Path(task.path, "schedstat").read_text().split()
        total += int(on_cpu)
        waited += int(delay)
    return total, waited


def _stat_cpu(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1_000_000_000 // _TICKS_PER_SECOND


def _schedstat_works():
    try:
        return _schedstat(os.getpid())[0] > 0
    except (OSError, ValueError):
        return False


# Nanoseconds from the scheduler where the kernel offers them, clock ticks (10 ms) elsewhere.
PRECISE = _schedstat_works()


def cpu_ns(pids):
    """CPU time of the processes' living threads, user and system. io_uring's kernel workers are threads of their process."""
    total = 0
    for pid in pids:
        try:
            total += _schedstat(pid)[0] if PRECISE else _stat_cpu(pid)
        except OSError:
            pass  # it ended; its CPU is lost, which proxies with fixed workers do not do
    return total


def idle_seconds(core):
    """Time the core has been idle since boot."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            fields = line.split()
            return (int(fields[4]) + int(fields[5])) / _TICKS_PER_SECOND
    raise ValueError(f"no core {core}")


def _rollup(pids, field):
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        for line in text.splitlines():
            if line.startswith(field + ":"):
                total += int(line.split()[1]) * 1024
    return total


def resident_bytes(pids):
    """Resident memory; pages shared by two processes of the tree count twice, as in `ps`."""
    return _rollup(pids, "Rss")


def anonymous_bytes(pids):
    """Memory that the processes wrote themselves: heap, stacks, anonymous mappings."""
    return _rollup(pids, "Anonymous")
