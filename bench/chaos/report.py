"""What the storms did, as a table, a chart and rows.

The table is for people: colours on a terminal, plain text in a pipe. The chart is SVG, one strip per storm. Rows are those of the bench
(CONTRIBUTING): {"scenario", "subject", "metric", "median", "min", "max", "n"}.
"""

import os
import sys
from dataclasses import dataclass
from html import escape

from load import Load, Summary, quantile

BUCKET = 0.2  # seconds


@dataclass
class Outcome:
    """One storm that was run, or why it was not."""

    name: str
    says: str
    summary: Summary | None = None
    expectations: list[tuple[str, bool]] = None
    marks: list[tuple[float, str]] = None  # seconds from the load's begin
    dark: list[tuple[float, float]] = None
    buckets: list["Bucket"] = None
    skipped: str = ""

    @property
    def met(self) -> bool:
        return bool(self.skipped) or all(came for _, came in self.expectations)


@dataclass
class Bucket:
    ok: int
    degraded: int
    failed: int
    p99: float


def buckets_of(load: Load) -> list[Bucket]:
    """By when requests were due."""
    last = max((one.due for one in load.seen), default=load.begun)
    parts: list[list] = [[] for _ in range(int((last - load.begun) / BUCKET) + 1)]
    for one in load.seen:
        parts[min(len(parts) - 1, max(0, int((one.due - load.begun) / BUCKET)))].append(one)
    return [Bucket(sum(not one.failure and not one.degraded for one in part), sum(one.degraded for one in part),
                   sum(bool(one.failure) for one in part), quantile(sorted(one.took for one in part), 0.99)) for part in parts]


class Table:
    def __init__(self, stream=sys.stdout):
        self.stream = stream
        self.colours = stream.isatty() and not os.environ.get("NO_COLOR")

    def paint(self, text: str, colour: int) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self.colours else text

    def say(self, text: str = "") -> None:
        print(text, file=self.stream, flush=True)

    def head(self) -> None:
        self.say(self.paint(f"{'storm':<10}{'requests':>9}{'ok':>8}{'degraded':>10}{'failed':>8}{'p50':>9}{'p99':>9}{'longest gap':>13}", 1))

    def row(self, outcome: Outcome) -> None:
        if outcome.skipped:
            return self.say(f"{outcome.name:<10}{self.paint('left out: ' + outcome.skipped, 33)}")
        seen = outcome.summary
        failed = f"{seen.failed:>8}"
        self.say(f"{outcome.name:<10}{seen.requests:>9}{seen.ok:>8}{seen.degraded:>10}"
                 f"{self.paint(failed, 31) if seen.failed else failed}{seen.p50 * 1000:>6.1f} ms{seen.p99 * 1000:>6.0f} ms{seen.longest_gap:>11.2f} s")
        self.say(f"          {self.paint(outcome.says, 2)}")
        for text, came in outcome.expectations:
            self.say(f"          {self.paint('met', 32) if came else self.paint('NOT MET', 31)}  {text}")
        if seen.failures:
            self.say("          failures: " + ", ".join(f"{count} × {why}" for why, count in seen.failures.items()))
        return None


def rows(outcomes: list[Outcome], subject: str) -> list[dict]:
    made = []
    for outcome in outcomes:
        if outcome.skipped:
            continue
        seen = outcome.summary
        values = {"requests": seen.requests, "ok": seen.ok, "degraded": seen.degraded, "failed": seen.failed, "p50_us": round(seen.p50 * 1e6),
                  "p99_us": round(seen.p99 * 1e6), "longest_gap_us": round(seen.longest_gap * 1e6), "expectations_met": int(outcome.met)}
        for metric, value in values.items():
            made.append({"scenario": "chaos_" + outcome.name, "subject": subject, "metric": metric, "median": value, "min": value, "max": value,
                         "n": 1})
    return made


# ---- the chart

WIDTH, LEFT, RIGHT, STRIP, BARS = 960, 24, 60, 118, 64
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1d2733; } .title { font-weight: 600; font-size: 13px; } .soft { fill: #66727f; }
.mark { stroke: #1d2733; stroke-dasharray: 3 3; } .axis { stroke: #c4ccd4; } .ok { fill: #2e9e6b; } .degraded { fill: #e3a008; }
.failed { fill: #d64545; } .dark { fill: #66727f; opacity: .15; } .p99 { fill: none; stroke: #2563c9; stroke-width: 1.5; } .blue { fill: #2563c9; }
@media (prefers-color-scheme: dark) { text { fill: #e6eaee; } .soft { fill: #9aa6b2; } .axis { stroke: #46525e; } .p99 { stroke: #7fb0ff; }
.blue { fill: #7fb0ff; } }
"""


def strip(outcome: Outcome, top: float) -> list[str]:
    buckets = outcome.buckets
    length = len(buckets) * BUCKET
    across = WIDTH - LEFT - RIGHT
    base = top + 46 + BARS
    most = max(1, max(one.ok + one.degraded + one.failed for one in buckets))
    slowest = max(0.05, max(one.p99 for one in buckets))

    def x(seconds: float) -> float:
        return LEFT + across * min(max(seconds, 0), length) / length

    verdict = "met" if outcome.met else "not met"
    parts = [f'<text class="title" x="{LEFT}" y="{top + 14:.0f}">{escape(outcome.name)}: {escape(outcome.says)}</text>',
             f'<text class="soft" x="{LEFT}" y="{top + 29:.0f}">{escape("; ".join(text for text, _ in outcome.expectations))} ({verdict})</text>']
    for begin, end in outcome.dark:
        parts.append(f'<rect class="dark" x="{x(begin):.1f}" y="{base - BARS:.1f}" width="{x(end) - x(begin):.1f}" height="{BARS}"/>')
    wide = across / len(buckets)
    for i, one in enumerate(buckets):
        level = base
        for kind, count in (("failed", one.failed), ("degraded", one.degraded), ("ok", one.ok)):
            high = BARS * count / most
            level -= high
            if count:
                parts.append(f'<rect class="{kind}" x="{LEFT + i * wide:.1f}" y="{level:.1f}" width="{max(0.5, wide - 1):.1f}" height="{high:.1f}"/>')
    line = " ".join(f"{LEFT + (i + 0.5) * wide:.1f},{base - BARS * one.p99 / slowest:.1f}" for i, one in enumerate(buckets))
    parts += [f'<polyline class="p99" points="{line}"/>', f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{base}" y2="{base}"/>',
              f'<text class="blue" x="{WIDTH - RIGHT + 6}" y="{base - BARS + 10:.0f}">{slowest * 1000:.0f} ms</text>']
    shown = -1e9
    for at, text in outcome.marks:
        parts.append(f'<line class="mark" x1="{x(at):.1f}" x2="{x(at):.1f}" y1="{base - BARS:.1f}" y2="{base + 4:.1f}"/>')
        if x(at) - shown > 60:  # what stands too close to the last is in the table of marks anyway
            parts.append(f'<text class="soft" x="{x(at):.1f}" y="{base + 15:.0f}">{escape(text)}</text>')
            shown = x(at)
    return parts


def chart(outcomes: list[Outcome], title: str) -> str:
    """An SVG of all storms that were run, 960 wide."""
    run = [one for one in outcomes if not one.skipped]
    height = 58 + len(run) * (STRIP + 26)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">',
             f"<style>{STYLE}</style>", f'<text class="title" x="{LEFT}" y="22">{escape(title)}</text>']
    at = LEFT
    for kind, text in (("ok", "ok"), ("degraded", "degraded"), ("failed", "failed"), ("dark", "no healthy endpoint"), ("blue", "p99 of the answers, right scale")):
        parts.append(f'<rect class="{kind}" x="{at}" y="32" width="10" height="10"/><text x="{at + 14}" y="41">{text}</text>')
        at += 26 + 7 * len(text)
    for i, outcome in enumerate(run):
        parts += strip(outcome, 54 + i * (STRIP + 26))
    return "\n".join(parts) + "\n</svg>\n"
