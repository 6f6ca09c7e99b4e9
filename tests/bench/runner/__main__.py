"""Runs every engine on every export, one after the other and in turn, for as many rounds as asked for."""

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import datetime, timezone

import check
from engines.common import export

from . import machine, report
from .settings import pairs, settings

TABLES = ["fragments", "events", "identities", "memberships"]


def say(text):
    print(text, file=sys.stderr, flush=True)


class Bench:
    def __init__(self, wanted):
        self.wanted = wanted
        self.work = wanted.folder / f"work-{os.getpid()}"
        self.pairs = pairs(wanted.engines, wanted.layouts)
        self.samples, self.floors, self.wrong = [], [], []
        self.work.mkdir(parents=True)

    def store(self, count, layout):
        return self.wanted.folder / "stores" / f"{count}-{self.wanted.seed}-{self.wanted.buckets}-{layout}"

    def generate(self, count, layout):
        store = self.store(count, layout)
        say(f"==> the store of {count} profiles, {layout}")
        subprocess.run(
            [sys.executable, "-m", "store", "--profiles", str(count), "--seed", str(self.wanted.seed), "--layout", layout,
             "--buckets", str(self.wanted.buckets), "--out", str(store)], check=True,
        )  # fmt: skip
        # No engine is to be the one that reads from the disk.
        for file in store.rglob("*.parquet"):
            with file.open("rb") as source:
                while source.read(1 << 22):
                    pass

    def command(self, engine, store, query, out):
        if engine != "exporter":
            return [sys.executable, "-P", "-m", f"engines.{engine}", "--store", str(store), "--query", query, "--out", str(out),
                    "--memory-mib", str(self.wanted.engine_memory_mib)]  # fmt: skip
        return [str(self.wanted.program), "run", "-f", str(store / "store.yaml"), "-f", str(store / f"{query}.yaml"),
                "--volume", f"/store={store}", "--volume", f"/datasets={out}", "--memory", self.wanted.memory, "-o", "json"]  # fmt: skip

    def measure(self, engine, store, query, out):
        """Runs an engine once; what it wrote is in `out`."""
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        result, stdout, log = (self.work / name for name in ("result.json", "stdout", "stderr"))
        watched = [argument for table in TABLES for argument in ("--watch", str(store / table))]
        with log.open("wb") as errors:
            subprocess.run(
                [sys.executable, "-m", "runner.measure", "--limit-mib", str(self.wanted.limit_mib), *watched, "--stdout", str(stdout),
                 "--result", str(result), "--", *self.command(engine, store, query, out)], stderr=errors, check=True,
            )  # fmt: skip
        found = json.loads(result.read_text())
        if found["exit"] == 0 and engine == "exporter":
            destination = json.loads(stdout.read_text())["status"]["destination"]
            batches = [batch["batchId"] for batch in destination.get("batches") or [destination]]
            (out / "batches.json").write_text(json.dumps(batches))
        if found["exit"] != 0 and not found["exceeded"]:
            say(log.read_text(errors="replace")[-2_000:])
        return found

    def sample(self, count, round_number, query, engine, layout, expected):
        """One measurement, and whether its rows are those that were expected; returns the rows."""
        name = f"{engine}-{layout}"
        store, out = self.store(count, layout), self.work / name
        found = self.measure(engine, store, query, out)
        key = {"profiles": count, "query": query, "engine": engine, "layout": layout, "round": round_number}
        self.samples.append(key | found)
        what = f"{count} {query} {name}"
        if found["exceeded"]:
            say(f"    {what}: ended, more than {self.wanted.limit_mib} MiB")
        elif found["exit"] != 0:
            self.wrong.append(f"{what} ended with {found['exit']}")
            say(f"    {self.wrong[-1]}")
        else:
            say(f"    {what}: {found['wall']:.2f} s, {found['cpu']:.2f} s of processor, {found['peak_mib']:.0f} MiB")
        # Each is checked once; the exporter, whose rows are to be the same every time, always.
        rows = expected
        if found["exit"] == 0 and not found["exceeded"] and (round_number == 0 or engine == "exporter"):
            job = export(store, query, out)
            rows = check.summary(job, out)
            if expected is not None and rows != expected:
                self.wrong.append(f"{what} wrote other rows: {json.dumps(rows)} instead of {json.dumps(expected)}")
                say(f"error: {self.wrong[-1]}")
            if round_number == 0 and expected is None:
                self.floor(count, query, out)
        shutil.rmtree(out, ignore_errors=True)
        return rows if expected is None else expected

    def floor(self, count, query, out):
        for layout in sorted({layout for _, layout in self.pairs}):
            store = self.store(count, layout)
            done = subprocess.run(
                [sys.executable, "-P", "-m", "floor", "--store", str(store), "--query", query, "--out", str(out)],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
            self.floors.append({"profiles": count, "query": query, "layout": layout} | json.loads(done.stdout))

    def run(self):
        for count in self.wanted.profiles:
            for layout in sorted({layout for _, layout in self.pairs}):
                self.generate(count, layout)
            expected = {}
            for round_number in range(self.wanted.rounds):
                say(f"==> {count} profiles, round {round_number + 1} of {self.wanted.rounds}")
                for query in self.wanted.queries:
                    # In turn, and another one first in each round: what the machine does besides hits all alike.
                    turn = round_number % len(self.pairs)
                    for engine, layout in self.pairs[turn:] + self.pairs[:turn]:
                        rows = self.sample(count, round_number, query, engine, layout, expected.get(query))
                        expected.setdefault(query, rows)
                        if expected[query] is None:
                            del expected[query]


def main():
    wanted = settings()
    started = time.monotonic()
    bench = Bench(wanted)
    try:
        bench.run()
    finally:
        shutil.rmtree(bench.work, ignore_errors=True)
    results = {
        "when": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "seconds": round(time.monotonic() - started),
        "machine": machine.described(wanted.engines),
        "settings": {name: value for name, value in vars(wanted).items() if name not in ("folder", "program")},
        "samples": bench.samples,
        "floors": bench.floors,
        "wrong": bench.wrong,
    }
    folder = wanted.folder / "results"
    folder.mkdir(exist_ok=True)
    file = folder / f"{results['when'].replace(':', '')}.json"
    file.write_text(json.dumps(results, indent=1) + "\n")
    say(f"==> {file}")
    if bench.wrong:
        say("error: " + "\n       ".join(bench.wrong))
        sys.exit(1)
    if os.environ.get("BENCH_REPORT", "1") == "1":
        report.write(results)


main()
