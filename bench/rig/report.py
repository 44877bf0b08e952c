"""From rounds to rows, and from rows to the tables on the terminal."""

import statistics

from .scenarios import BUDGETS, PEERS, SCENARIOS

_METRICS = ["cpu_us_per_request", "requests_per_second", "p50_us", "p99_us", "bytes_per_connection", "rss_bytes", "ratio_node", "ratio_node_http",
            "ratio_three_plain",
            "added_p50_us", "added_p99_us"]
_TITLES = {
    "cpu_us_per_request": "CPU µs/request",
    "requests_per_second": "requests/s",
    "p50_us": "p50 µs",
    "p99_us": "p99 µs",
    "bytes_per_connection": "bytes/connection",
    "rss_bytes": "RSS MB",
    "ratio_node": "÷ node",
    "ratio_node_http": "÷ node-http",
    "ratio_three_plain": "÷ 3 plain",
    "added_p50_us": "added p50 µs",
    "added_p99_us": "added p99 µs",
    "ratio_best_peer": "÷ best peer",
}


def derive(scenario, figures):
    """Adds what the scenario derives to a round's {subject: {metric: value}}, for each subject that composes."""
    for rule in scenario.derived:
        for subject in ("portloom-io_uring", "portloom-epoll", "node", "node-http"):
            against = rule.against.format(engine=subject.rpartition("-")[2])
            if subject == against or not all(rule.metric in figures.get(name, {}) for name in (subject, against)):
                continue
            own, other = figures[subject][rule.metric], figures[against][rule.metric]
            figures[subject][rule.name] = own - other if rule.less else own / (rule.times * other)


def paired(rounds, subject, metric, against):
    """The subject's figure divided by another's, or by the better peer's ("peer"), for every round that has both."""
    ratios = []
    for figures in rounds:
        names = PEERS if against == "peer" else (against,)
        others = [figures[name][metric] for name in names if metric in figures.get(name, {})]
        if others and metric in figures.get(subject, {}) and min(others) > 0:
            ratios.append(figures[subject][metric] / min(others))
    return ratios


def rows_of(scenario, rounds):
    """Rows as the contract pins them. `rounds` is a list of {subject: {metric: value}}."""
    rows = []
    subjects = list(dict.fromkeys(name for figures in rounds for name in figures))
    for subject in subjects:
        series = {metric: [figures[subject][metric] for figures in rounds if metric in figures.get(subject, {})] for metric in _METRICS}
        series["ratio_best_peer"] = paired(rounds, subject, "cpu_us_per_request", "peer")
        for metric, values in series.items():
            if values:
                rows.append({"scenario": scenario.name, "subject": subject, "metric": metric, "median": round(statistics.median(values), 4),
                             "min": round(min(values), 4), "max": round(max(values), 4), "n": len(values)})
    return rows


def _cell(row):
    if row is None:
        return "–"
    scale = 1e6 if row["metric"] == "rss_bytes" else 1
    digits = {"cpu_us_per_request": 2, "rss_bytes": 1}.get(row["metric"], 2 if row["metric"].startswith("ratio") else 0)
    median, low, high = (f"{row[part] / scale:,.{digits}f}" for part in ("median", "min", "max"))
    return f"{median} ({low}–{high})"


def print_table(scenario, rows, versions, order):
    """One line per subject: median (min–max)."""
    by_key = {(row["subject"], row["metric"]): row for row in rows}
    metrics = [metric for metric in _METRICS + ["ratio_best_peer"] if any(row["metric"] == metric for row in rows)]
    subjects = [name for name in order if any(row["subject"] == name for row in rows)]
    table = [["subject", *(_TITLES[metric] for metric in metrics), "version"]]
    for subject in subjects:
        table.append([subject, *(_cell(by_key.get((subject, metric))) for metric in metrics), versions[subject]])
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    print(f"\n{scenario.name}: {scenario.about}")
    for line in table:
        print("  " + "  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip())


def print_budgets(scenario, rounds):
    """Met or MISSED, for each Portloom engine that was measured."""
    for budget in BUDGETS:
        if scenario.name not in budget.scenarios:
            continue
        for engine in ("io_uring", "epoll"):
            subject = f"portloom-{engine}"
            against = f"{budget.against}-{engine}" if budget.against in ("forwarder", "portloom-bare") else budget.against
            if against:
                values = paired(rounds, subject, budget.metric, against)
            else:
                values = [figures[subject][budget.metric] for figures in rounds if budget.metric in figures.get(subject, {})]
            if not values:
                continue
            limit = getattr(budget, engine)
            value = statistics.median(values)
            other = {"peer": " ÷ the better of nginx and HAProxy", "": ""}.get(budget.against, f" ÷ {against}")
            verdict = "met" if value <= limit else "MISSED"
            digits = 2 if against or budget.metric.startswith("ratio") else 0
            print(f"  budget {subject}: {budget.metric}{other} = {value:,.{digits}f}, bound {limit:,.{digits}f}: {verdict}")


def list_scenarios():
    return "\n".join(f"  {scenario.name:<21} {scenario.about}" for scenario in SCENARIOS.values())
