"""Prints what was measured."""

import json
import statistics

import jobs


def median(runs, what):
    return statistics.median(getattr(run, what) for run in runs)


def of_tools(taken, job):
    """The runs of each tool's variants that do a job whole: {tool: {variant: runs}}."""
    found = {}
    for (its_job, name), runs in taken.items():
        if its_job == job and name not in jobs.LESS:
            found.setdefault(name.split("/")[0], {})[name] = runs
    return found


def ratios(taken, job):
    """How many times as fast netflow is as the fastest peer, by the clock and by processor time; None without both."""
    tools = of_tools(taken, job)
    own = tools.pop("netflow", {}).get("netflow")
    if not own or not tools or job == "start":
        return None
    best = lambda what: min(median(runs, what) for variants in tools.values() for runs in variants.values())
    return {what: best(what) / median(own, what) for what in ("wall", "cpu")}


def grid(rows):
    """Lines with columns as wide as their widest cell; the first is on the left, numbers are on the right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        cells = [cell.rjust(width) if place else cell.ljust(width) for place, (cell, width) in enumerate(zip(row, widths))]
        print(("  ".join(cells)).rstrip())


def cell(count, job, runs):
    wall, cpu, memory = (median(runs, what) for what in ("wall", "cpu", "memory"))
    if job == "start":
        return f"{wall:.2f} s ({cpu:.2f} s) {memory:.0f}"
    return f"{count / wall / 1e6:.2f} ({count / cpu / 1e6:.2f}) {memory:.0f}"


def as_text(chosen, versions, sizes, taken, alone):
    tools = list(dict.fromkeys(name.split("/")[0] for name in chosen.tools))
    print(f"netflow {versions['netflow']}; " + ", ".join(f"{name} {version}" for name, version in versions["peers"].items()))
    print(f"{versions['machine']}; {chosen.records} records, medians of {chosen.runs} runs")
    print("Files: " + ", ".join(f"{name} {size / 1048576:.1f} MiB" for name, size in sizes.items()))
    print("\nMillion records a second by the clock (per processor second) and peak memory in MiB, each tool's fastest variant;")
    print("ratio: how many times as fast netflow is as the best peer, by the clock (per processor second)\n")
    rows = [["", *tools, "ratio"]]
    for job in chosen.jobs:
        found, ratio = of_tools(taken, job), ratios(taken, job)
        cells = []
        for tool in tools:
            variants = found.get(tool)
            fastest = min(variants.values(), key=lambda runs: median(runs, "wall")) if variants else None
            cells.append(cell(chosen.records, job, fastest) if fastest else "")
        rows.append([jobs.TITLES[job], *cells, f"{ratio['wall']:.2f} ({ratio['cpu']:.2f})" if ratio else ""])
    grid(rows)
    print("\nEvery variant: seconds by the clock, with the least and the most; processor seconds; peak MiB.")
    print(f"{', '.join(jobs.LESS)} tell less than was asked, and so are not in the table above.\n")
    rows = [["", "tool", "median", "least", "most", "processor", "MiB"]]
    for (job, name), runs in sorted(taken.items(), key=lambda item: chosen.jobs.index(item[0][0])):
        walls = [run.wall for run in runs]
        numbers = [statistics.median(walls), min(walls), max(walls), median(runs, "cpu")]
        rows.append([job, name, *(f"{number:.3f}" for number in numbers), f"{median(runs, 'memory'):.0f}"])
    grid(rows)
    if alone:
        rate = alone["events"] / alone["cpu"] / 1e6
        print(f"\nLong connections, netflow alone: {alone['connections']} connections, {alone['events']} events:", end=" ")
        print(f"{rate:.2f} M events per processor second, {alone['wall']:.2f} s by the clock, {alone['memory']:.0f} MiB")


def as_json(chosen, versions, sizes, taken, alone):
    results = [
        {"job": job, "tool": name, **{what: [getattr(run, what) for run in runs] for what in ("wall", "cpu", "memory")}}
        for (job, name), runs in taken.items()
    ]
    summary = {job: ratio for job in chosen.jobs if (ratio := ratios(taken, job))}
    told = {"versions": versions, "records": chosen.records, "runs": chosen.runs, "bytes": sizes}
    print(json.dumps(told | {"results": results, "ratios": summary, "long": alone}))
