"""./dev chaos: storms over real processes, and what clients saw of them.

    ./dev chaos                     all storms (about a minute and a half)
    ./dev chaos kill dns --quick    these, in half the time
    ./dev chaos --chart FILE.svg --json FILE
    ./dev chaos --peers             the behaviour of Portloom, HAProxy and nginx, side by side (peers.py)

Exit status: 0 when all that was expected came so, 1 when not, 2 for a wrong command line.
"""

import argparse
import asyncio
import json
import os
import sys

import peers
import report
import storms
from load import Summary
from town import PROGRAM


def outcome_of(one: storms.Storm, weather: storms.Weather, expectations: list[storms.Expectation]) -> report.Outcome:
    load = weather.load
    return report.Outcome(
        one.name, one.says, Summary.of(load), expectations, [(at - load.begun, text) for at, text in weather.town.marks],
        [(begin - load.begun, end - load.begun) for begin, end in weather.town.dark], report.buckets_of(load))


def blow(arguments: argparse.Namespace, chosen: list[storms.Storm], table: report.Table) -> list[report.Outcome]:
    outcomes = []
    table.head()
    for one in chosen:
        if why := storms.unavailable(one):
            outcomes.append(report.Outcome(one.name, one.says, skipped=why))
        else:
            outcomes.append(outcome_of(one, *asyncio.run(storms.run(one, 0.5 if arguments.quick else 1.0, arguments.attempts, arguments.workers))))
        table.row(outcomes[-1])
    return outcomes


def main() -> int:
    names = [one.name for one in storms.STORMS]
    parser = argparse.ArgumentParser(prog="./dev chaos", description="Storms over real processes, and what clients saw of them.")
    parser.add_argument("storm", nargs="*", help="of " + ", ".join(names) + "; with --peers: of " + ", ".join(peers.SCENES))
    parser.add_argument("--quick", action="store_true", help="half the time")
    parser.add_argument("--attempts", type=int, default=3, metavar="N", help="how often the gateway may send a request (3); 1: no retries")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="of the gateway (2)")
    parser.add_argument("--chart", metavar="FILE", help="an SVG of it all")
    parser.add_argument("--json", metavar="FILE", help="rows, as ./dev bench writes them")
    parser.add_argument("--peers", action="store_true", help="compare behaviour with HAProxy and nginx instead")
    parser.add_argument("--list", action="store_true", help="what there is")
    arguments = parser.parse_args()
    if arguments.list:
        for one in storms.STORMS:
            print(f"{one.name:<10}{one.says}")
        return 0
    known = peers.SCENES if arguments.peers else names
    if wrong := [name for name in arguments.storm if name not in known]:
        parser.error(f"there is no {wrong[0]}; there are {', '.join(known)}")
    if not os.access(PROGRAM, os.X_OK):
        parser.error(f"{PROGRAM} is missing: ./dev build")
    table = report.Table()
    if arguments.peers:
        made, met = peers.compare(arguments.storm or list(peers.SCENES), arguments.quick, table)
    else:
        outcomes = blow(arguments, [one for one in storms.STORMS if not arguments.storm or one.name in arguments.storm], table)
        met = all(one.met for one in outcomes)
        unmet = [one.name for one in outcomes if not one.met]
        table.say(f"{len(outcomes)} storms, " + (table.paint("all as expected", 32) if met else table.paint("not as expected: " + ", ".join(unmet), 31)))
        made = report.rows(outcomes, "portloom-" + os.environ.get("PORTLOOM_IO", "auto"))
        if arguments.chart:
            with open(arguments.chart, "w") as file:
                file.write(report.chart(outcomes, "What clients saw of Portloom in a storm"))
            table.say(f"the chart is in {arguments.chart}")
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(made, file, indent=1)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
