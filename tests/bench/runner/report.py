"""Writes the results of a run into the documentation, between the page's markers.

  tests/bench/python -m runner.report RESULTS.json
"""

import json
import sys
from math import log
from pathlib import Path
from statistics import median

from .machine import REPOSITORY
from .settings import ENGINES, pairs

PAGE = REPOSITORY / "docs" / "benchmarks.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


class Results:
    def __init__(self, results):
        self.results = results
        self.scales = results["settings"]["profiles"]
        self.queries = results["settings"]["queries"]
        self.samples = {}
        for sample in results["samples"]:
            key = (sample["profiles"], sample["query"], sample["engine"], sample["layout"])
            self.samples.setdefault(key, []).append(sample)
        self.pairs = pairs(results["settings"]["engines"], results["settings"]["layouts"])

    def good(self, *key):
        """The samples of which there is something to tell, or nothing if any was ended for its memory."""
        found = self.samples.get(key, [])
        return [] if any(sample["exceeded"] for sample in found) else found

    def typical(self, measure, *key):
        found = [sample[measure] for sample in self.good(*key) if sample[measure] is not None]
        return median(found) if found else None

    def ratio(self, measure, count, query, pair, base):
        """The median of the ratios of each round: what disturbed a round disturbed both."""
        theirs = {sample["round"]: sample[measure] for sample in self.good(count, query, *pair)}
        ours = {sample["round"]: sample[measure] for sample in self.good(count, query, *base)}
        found = [theirs[number] / ours[number] for number in theirs.keys() & ours.keys()]
        return median(found) if found else None


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def named(pair):
    engine, layout = pair
    return f"{ENGINES[engine][0]}, {layout}"


def short(value):
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def figures(results, count):
    rows = []
    for pair in results.pairs:
        cells = []
        for query in results.queries:
            values = [results.typical(measure, count, query, *pair) for measure in ("wall", "cpu", "peak_mib")]
            known = None not in values
            cells.append(f"{short(values[0])} / {short(values[1])} / {values[2]:.0f}" if known else "out of memory")
        rows.append([named(pair), *cells])
    return table(["wall s / CPU s / peak MiB", *(query.upper() for query in results.queries)], rows)


def ratios(results, count):
    rows = []
    for pair in results.pairs:
        base = ("exporter", pair[1])
        if pair[0] == "exporter" or base not in results.pairs:
            continue
        cells = []
        for query in results.queries:
            values = [results.ratio(measure, count, query, pair, base) for measure in ("wall", "cpu", "peak_mib")]
            cells.append("out of memory" if None in values else " / ".join(f"{value:.1f}" for value in values))
        rows.append([named(pair), *cells])
    return table(["× the exporter: wall / CPU / memory", *(query.upper() for query in results.queries)], rows)


def floors(results, count):
    rows = []
    for floor in results.results["floors"]:
        ours = results.typical("cpu", count, floor["query"], "exporter", floor["layout"])
        if floor["profiles"] == count and ours is not None:
            total = floor["decode"] + floor["encode"]
            cells = [short(floor["decode"]), short(floor["encode"]), short(ours), f"{ours / total:.1f}"]
            rows.append([f"{floor['query'].upper()}, {floor['layout']}", *cells])
    return table(["CPU s", "decode", "encode", "the exporter", "× the floor"], sorted(rows)) if rows else None


def growth(results):
    """How time and memory grow from the smallest to the largest store."""
    small, large = results.scales[0], results.scales[-1]
    rows = []
    for pair in results.pairs:
        cells = []
        for query in results.queries:
            before = [results.typical(measure, small, query, *pair) for measure in ("wall", "cpu", "peak_mib")]
            after = [results.typical(measure, large, query, *pair) for measure in ("wall", "cpu", "peak_mib")]
            if None in before or None in after:
                cells.append("out of memory")
                continue
            wall, cpu = (log(after[at] / before[at]) / log(large / small) for at in (0, 1))
            cells.append(f"{wall:.2f} / {cpu:.2f} / {after[2] / before[2]:.1f}")
        rows.append([named(pair), *cells])
    head = "exponent of wall / of CPU / × memory"
    return table([head, *(query.upper() for query in results.queries)], rows)


def start(results):
    found = [
        sample["first_read"]
        for sample in results.results["samples"]
        if sample["engine"] == "exporter" and sample["first_read"] is not None
    ]
    return f"From its start to the first read of a table, the exporter takes {median(found) * 1000:.0f} ms (median of {len(found)} runs).\n" if found else ""


def introduction(results):
    data, machine = results.results, results.results["machine"]
    versions = ", ".join(f"{ENGINES[name][0].split()[0]} {number}" for name, number in machine["versions"].items())
    cores = machine["cores"]
    return (
        f"Measured {data['when'][:10]} at commit `{machine['commit']}` on {machine['processor']}, {cores} cores of it, "
        f"{machine['memory_gib']} GiB, Linux {machine['kernel']}; {data['settings']['rounds']} rounds, seed {data['settings']['seed']}. "
        + (f"Compared with {versions}. " if versions else "")
        + f"The exporter had {data['settings']['memory']} of memory, the others {data['settings']['engine_memory_mib']} MiB where they take a limit.\n"
    )


def text(results):
    parts = [introduction(results)]
    for count in results.scales:
        parts += [f"### {count:,} profiles\n", figures(results, count)]
        compared = ratios(results, count)
        if compared.count("\n") > 2:
            parts.append(compared)
        floor = floors(results, count)
        if floor:
            parts.append(floor)
    parts.append(f"![CPU seconds of each engine and export at {results.scales[-1]:,} profiles](benchmarks/processor.svg)\n")
    if len(results.scales) > 1:
        parts += [f"### From {results.scales[0]:,} to {results.scales[-1]:,} profiles\n", growth(results)]
        parts.append("![CPU seconds and memory by number of profiles, all fields of all profiles](benchmarks/growth.svg)\n")
    parts.append(start(results))
    return "\n".join(part for part in parts if part)


def write(data):
    """Replaces what is between the markers, and the plots."""
    from . import plots

    results = Results(data)
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not after:
        raise SystemExit(f"error: {PAGE} has no markers {BEGIN} and {END}")
    PAGE.write_text(f"{before}{BEGIN}\n{text(results)}{END}{after}")
    plots.write(results, PAGE.parent / "benchmarks")
    print(text(results))


if __name__ == "__main__":
    write(json.loads(Path(sys.argv[1]).read_text()))
