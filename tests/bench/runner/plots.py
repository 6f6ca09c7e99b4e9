"""The plots of the benchmark's page: SVG with real text, the same bytes for the same results."""

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib import ticker  # noqa: E402

from .settings import ENGINES  # noqa: E402

SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "exportjob", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
COLOURS = {"exporter": "#0b6e4f", "duckdb": "#e0a100", "polars": "#2b6cb0", "datafusion": "#b0413e", "spark": "#6b4fa0"}


def style(pair):
    engine, layout = pair
    return {"color": COLOURS[engine], "label": f"{ENGINES[engine][0]}, {layout}"}


def plain(axis):
    """Numbers as people write them, on a logarithmic axis."""
    axis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(ticker.NullFormatter())


def save(figure, file):
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)


def processor(results, file):
    """CPU seconds of each export by each engine, on the largest store."""
    count = results.scales[-1]
    figure, axes = plt.subplots(figsize=(9, 4))
    width = 0.85 / len(results.pairs)
    for number, pair in enumerate(results.pairs):
        values = [results.typical("cpu", count, query, *pair) or 0 for query in results.queries]
        places = [at + number * width for at in range(len(values))]
        hatch = "///" if pair[1] == "bucketed" else None
        bars = axes.bar(places, values, width * 0.92, hatch=hatch, edgecolor="white", linewidth=0.3, **style(pair))
        axes.bar_label(bars, [f"{value:.2g}" if value else "memory" for value in values], fontsize=6, padding=1)
    axes.set_yscale("log")
    plain(axes.yaxis)
    low, high = axes.get_ylim()
    axes.set_ylim(low / 2, high * 3)
    axes.set_xticks([at + 0.425 - width / 2 for at in range(len(results.queries))], [q.upper() for q in results.queries])
    axes.set_ylabel("CPU seconds (logarithmic)")
    axes.set_title(f"{count:,} profiles", loc="left")
    axes.legend(frameon=False, ncols=2, fontsize=8)
    save(figure, file)


def growth(results, file):
    """CPU seconds and peak memory over the number of profiles, for the largest export."""
    query = "q2" if "q2" in results.queries else results.queries[0]
    figure, panels = plt.subplots(1, 2, figsize=(9, 4))
    for axes, measure, label in zip(panels, ("cpu", "peak_mib"), ("CPU seconds", "peak memory, MiB")):
        for pair in results.pairs:
            points = [(count, results.typical(measure, count, query, *pair)) for count in results.scales]
            points = [point for point in points if point[1] is not None]
            line = "-" if pair[1] == "bucketed" else "--"
            axes.plot(*zip(*points), line, marker="o", markersize=3, **style(pair)) if points else None
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(results.scales, [f"{count:,}" for count in results.scales])
        axes.xaxis.set_minor_formatter(ticker.NullFormatter())
        plain(axes.yaxis)
        axes.set_xlabel("profiles")
        axes.set_ylabel(label)
    panels[0].set_title(f"{query.upper()}", loc="left")
    panels[1].legend(frameon=False, fontsize=7)
    save(figure, file)


def write(results, folder):
    folder.mkdir(exist_ok=True)
    with plt.rc_context(SETTINGS):
        processor(results, folder / "processor.svg")
        if len(results.scales) > 1:
            growth(results, folder / "growth.svg")
