#!/usr/bin/env python3
"""The benchmark rig: Portloom's CPU per request beside peers that do equal work, in interleaved rounds.

The proxy has one worker on one core; the origin and the load generator share another. All subjects run all the time; each
round loads each of them once, in rotated order, so that a drift of the machine meets everybody. bench/README.md says how to
read the result.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from rig import kernel, measure, report, setups, subjects  # noqa: E402
from rig.scenarios import SCENARIOS  # noqa: E402

_ROOT = Path(__file__).resolve().parent.parent


def parse_arguments():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="scenarios:\n" + report.list_scenarios())
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="which scenarios; all if none is named")
    parser.add_argument("--quick", action="store_true", help="3 rounds of a quarter of the requests: to see that it works, not to publish")
    parser.add_argument("--rounds", type=int, help="rounds per scenario (default 9, idle 3)")
    parser.add_argument("--attempts", type=int, help="how often a measurement is made while foreign load disturbs it (default 4, quick 1)")
    parser.add_argument("--json", metavar="FILE", help='write the rows as one JSON array of {"scenario","subject","metric","median","min","max","n"}')
    parser.add_argument("--subject", action="append", metavar="NAME", help="only this subject; may be repeated")
    parser.add_argument("--portloom", default=str(_ROOT / "build/release/portloom"), metavar="PATH", help="the portloom to measure")
    parser.add_argument("--build", default=str(_ROOT / "build/release"), metavar="DIR", help="where bench/bench_load and its siblings were built")
    parser.add_argument("--cores", default="0,1", metavar="PROXY,LOAD", help="core of the proxy, core of origin and load (default 0,1)")
    parser.add_argument("--profile", nargs=2, metavar=("SCENARIO", "SUBJECT"), help="perf record the proxy during load and print its top 40 symbols")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.scenarios + (arguments.profile or [])[:1] if name not in SCENARIOS]
    if unknown:
        parser.error(f"unknown scenario: {', '.join(unknown)}\nscenarios:\n{report.list_scenarios()}")
    return arguments


def start_all(tools, origin, chosen, setup):
    """Starts the subjects; those that cannot run are named and left out."""
    running = []
    for subject in chosen:
        try:
            subject.start(tools, origin, setup)
            running.append(subject)
        except subjects.Unavailable as problem:
            print(f"skipped {subject.name}: {problem}", file=sys.stderr)
    return running


def one_round(tools, scenario, subject, origin, requests, attempts, disturbed):
    """Repeats a disturbed measurement, a few times; keeps the calmest if none was calm. None when the subject failed."""
    best = None
    for attempt in range(attempts):
        if attempt > 0:
            measure.wait_for_quiet(tools)
        try:
            if scenario.kind == "idle":
                subject.start(tools, origin, scenario.setup)
                try:
                    figures, foreign = measure.measure_idle(tools, scenario, subject, origin)
                finally:
                    subject.stop()
            else:
                figures, foreign = measure.measure_load(tools, scenario, subject, origin, requests)
        except (measure.Failed, subjects.Unavailable) as problem:
            print(f"{scenario.name} {subject.name}: {problem}", file=sys.stderr)
            return None
        if best is None or foreign < best[1]:
            best = figures, foreign
        if foreign <= measure.FOREIGN_MAX:
            return best[0]
        disturbed["repeated"] += attempt + 1 < attempts
    disturbed["kept"] += 1
    return best[0]


def with_origin(tools, scenario, work):
    """Runs `work(origin)` with the origin that the scenario's subjects lead to."""
    origin = subjects.Origin(tools, setups.SETUPS[scenario.setup])
    try:
        return work(origin)
    finally:
        origin.stop()


def run_scenario(tools, scenario, origin, chosen, arguments):
    """All rounds of a scenario: a list of {subject: {metric: value}}."""
    idle = scenario.kind == "idle"
    chosen = [subject for subject in chosen if not subject.only or scenario.name in subject.only]
    count = arguments.rounds or (1 if idle and arguments.quick else 3 if idle or arguments.quick else 9)
    attempts = arguments.attempts or (1 if arguments.quick else 4)
    requests = max(scenario.requests // (4 if arguments.quick else 1), 2 * scenario.connections)
    # Idle rounds start each subject afresh, see measure_idle().
    running = [s for s in chosen if s.name != "direct"] if idle else start_all(tools, origin, chosen, scenario.setup)
    rounds = []
    disturbed = {"repeated": 0, "kept": 0}
    try:
        for number in range(count):
            figures = {}
            shift = number % max(len(running), 1)
            for subject in running[shift:] + running[:shift]:
                result = one_round(tools, scenario, subject, origin, requests, attempts, disturbed)
                if result is not None:
                    figures[subject.name] = result
            report.derive(scenario, figures)
            rounds.append(figures)
    finally:
        for subject in running:
            subject.stop()
    rows = report.rows_of(scenario, rounds)
    report.print_table(scenario, rows, {s.name: s.version for s in chosen}, [s.name for s in chosen])
    report.print_budgets(scenario, rounds)
    if disturbed["repeated"] or disturbed["kept"]:
        print(f"  foreign load above {measure.FOREIGN_MAX:.0%} of a core: {disturbed['repeated']} measurements repeated, {disturbed['kept']} kept although disturbed")
    sys.stdout.flush()
    return rows


def profile(tools, scenario, subject, origin):
    """perf record over a few rounds of load, then the symbols that cost most."""
    if shutil.which("perf") is None:
        raise SystemExit("perf is not installed")
    if subject.name == "direct":
        raise SystemExit("direct has no proxy to profile")
    subject.start(tools, origin, scenario.setup)
    data = tools.directory / "perf.data"
    pids = ",".join(map(str, kernel.process_tree(subject.process.pid)))
    perf = subprocess.Popen(["perf", "record", "-q", "-g", "-o", data, "-p", pids], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        cost = [measure.measure_load(tools, scenario, subject, origin, scenario.requests)[0]["cpu_us_per_request"] for _ in range(3)]
    finally:
        perf.send_signal(signal.SIGINT)
        said = perf.communicate()[1].strip()
        subject.stop()
    if not data.exists() or data.stat().st_size == 0:
        raise SystemExit(f"perf could not record (is it permitted? see kernel.perf_event_paranoid): {said}")
    print(f"{scenario.name} {subject.name}: {statistics.median(cost):.2f} CPU µs/request while profiled; the top 40 symbols, own time")
    table = subprocess.run(["perf", "report", "-i", data, "--stdio", "--no-children", "-g", "none", "--sort", "dso,symbol"],
                           capture_output=True, text=True).stdout
    lines = [line for line in table.splitlines() if line.strip() and not line.startswith("#")]
    print("\n".join(line.rstrip(" -") for line in lines[:40]))


def main():
    arguments = parse_arguments()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    proxy_core, load_core = map(int, arguments.cores.split(","))
    allowed = os.sched_getaffinity(0)
    if not {proxy_core, load_core} <= allowed or proxy_core == load_core:
        raise SystemExit(f"needs two cores, has {sorted(allowed)}; choose with --cores PROXY,LOAD")
    os.sched_setaffinity(0, {load_core})
    if not kernel.PRECISE:
        print("/proc/PID/schedstat is not available: CPU is counted in clock ticks", file=sys.stderr)

    # SIGTERM unwinds like Ctrl-C, so that the subjects are stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    shared_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # logs cost no disk
    with tempfile.TemporaryDirectory(prefix="portloom-bench-", dir=shared_memory) as directory:
        os.chmod(directory, 0o755)  # nginx workers drop to another user
        tools = subjects.Tools(arguments.build, arguments.portloom, proxy_core, load_core, directory)
        found, missing = subjects.all_subjects(tools)
        wanted = arguments.subject or (arguments.profile or [])[1:] or [*found, *missing]
        for name in wanted:
            if name not in found:
                print(f"skipped {name}: {missing.get(name, 'no such subject')}", file=sys.stderr)
        chosen = [found[name] for name in found if name in wanted]
        if not chosen:
            raise SystemExit("nothing to measure")
        setups.make_certificate(directory)
        rows = []
        if arguments.profile:
            scenario = SCENARIOS[arguments.profile[0]]
            with_origin(tools, scenario, lambda origin: profile(tools, scenario, chosen[0], origin))
        else:
            for scenario in map(SCENARIOS.get, arguments.scenarios or SCENARIOS):
                rows += with_origin(tools, scenario, lambda origin: run_scenario(tools, scenario, origin, chosen, arguments))
    if arguments.json:
        Path(arguments.json).write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")


if __name__ == "__main__":
    main()
