"""What a browser makes of pages: one line for each finding that is right, an assertion for the first that is not.

    check.py FOLDER

In the folder: page.html with by_process.csv, by_transport.csv and rows.csv on the same capture; damaged.html, empty.html.
"""

import csv
import json
import sys
from collections import Counter
from pathlib import Path

from chromium import Chromium

folder = Path(sys.argv[1])
MOST_GROUPS = 8
CHART = "Chart.getChart('{}').data"


def url(name):
    return (folder / name).resolve().as_uri()


def read(name):
    # The page shows no control characters.
    with open(folder / name, newline="") as file:
        return list(csv.DictReader(file.read().replace("\x1b", "\ufffd").split("\n")))


def quiet(page):
    assert page.complaints == [], page.complaints
    assert page.requests == [], page.requests
    assert page.run("window.harmed === undefined")


def series(rows, key):
    """Per window, in order of time; the page has those without rows as well."""
    sums = Counter()
    for row in rows:
        sums[row["window_start"][:19]] += int(row[key] or 0)
    return sums


def windows(page):
    return page.run("(o => o.opened.map((_, i) => isoTime(windowStart(o, i)).slice(0, 19)))(JSON.parse(document.getElementById('data').textContent).over_time)")


def same_as_csv(page):
    at = windows(page)
    by_process = read("by_process.csv")
    assert len(set(at)) == len(at) and set(series(by_process, "bytes_read")) <= set(at), at
    totals = Counter()
    for row in by_process:
        totals[row["process_name"]] += int(row["bytes_read"]) + int(row["bytes_written"])
    top = [name for name, _ in sorted(totals.items(), key=lambda item: (-item[1], item[0]))[:MOST_GROUPS]]
    ways = {"both": ["bytes_read", "bytes_written"], "received": ["bytes_read"], "sent": ["bytes_written"]}
    for way, keys in ways.items():
        page.run(f"document.querySelector('input[value={way}]').click()")
        shown = page.run(f"{CHART.format('traffic-chart')}.datasets.map(one => [one.label, one.data])")
        labels = [label for label, _ in shown]
        assert labels == top + [f"{len(totals) - MOST_GROUPS} others"], labels
        for label, data in shown:
            rows = [row for row in by_process if (row["process_name"] == label if label in top else row["process_name"] not in top)]
            # A chart's numbers are doubles.
            sums = [series(rows, key) for key in keys]
            assert data == [sum(float(one[window]) for one in sums) for window in at], (way, label)
    print("traffic", sum(totals.values()), "bytes,", len(at), "windows,", len(totals), "processes")
    tcp = [row for row in read("by_transport.csv") if row["transport"] == "tcp"]
    for chart, key in [("retransmits", "retransmits"), ("opened", "tcp_established"), ("failed", "tcp_connect_failures")]:
        data = page.run(f"{CHART.format(chart + '-chart')}.datasets[0].data")
        sums = series(tcp, key)
        assert data == [sums[window] for window in at], chart
        print(chart, sum(data))
    known = {row["window_start"][:19]: [int(row[key]) for key in ["rtt", "rtt_min", "rtt_max"]] for row in tcp if row["rtt"]}
    ranges, means = page.run(f"{CHART.format('rtt-chart')}.datasets.map(one => one.data)")
    for window, extent, mean in zip(at, ranges, means):
        assert ([mean, *extent] if extent else None) == known.get(window), window
    print("rtt", len(known), "windows")


def cells(page, column):
    return page.run(f"""[...document.querySelectorAll('#all-rows tbody tr')].map(row => row.cells[{column}])
        .map(cell => cell.title.split(' ')[0].replaceAll(',', '') || cell.textContent)""")


def status(page):
    return page.run("document.querySelector('#all-rows .status').textContent")


def search(page, text):
    page.run(f"(field => {{ field.value = {json.dumps(text)}; field.dispatchEvent(new Event('input')) }})(document.querySelector('#all-rows input'))")


def table(page):
    rows = read("rows.csv")
    titles = page.run("[...document.querySelectorAll('#all-rows th')].map(head => head.textContent.replace(/[▲▼]/, ''))")
    page.run("(size => { size.value = '500'; size.dispatchEvent(new Event('change')) })(document.querySelector('#all-rows select'))")
    both = sorted((int(row["bytes_read"]) + int(row["bytes_written"]) for row in rows), reverse=True)
    shown = [int(read) + int(written) for read, written in zip(cells(page, titles.index("read")), cells(page, titles.index("written")))]
    assert shown == both, "rows with the most bytes first, each number exact"
    read_at = titles.index("read")
    click = f"document.querySelectorAll('#all-rows th button')[{read_at}]"
    sort = f"document.querySelectorAll('#all-rows th')[{read_at}].getAttribute('aria-sort')"
    page.run(f"{click}.click()")
    expected = sorted((int(row["bytes_read"]) for row in rows), reverse=True)
    assert [int(value) for value in cells(page, read_at)] == expected and page.run(sort) == "descending"
    # The same by keyboard, the other way round.
    page.run(f"{click}.focus()")
    page.key("Enter", 13)
    assert [int(value) for value in cells(page, read_at)] == expected[::-1] and page.run(sort) == "ascending"
    at = titles.index("process")
    page.run(f"document.querySelectorAll('#all-rows th button')[{at}].click()")
    names = [name for name in cells(page, at)]
    assert names.index("worker-2") < names.index("worker-10"), "numbers in names sort as numbers"
    search(page, "WORKER-3 udp")
    found = [row for row in rows if row["process_name"] == "worker-3" and row["transport"] == "udp"]
    assert 0 < len(found) == len(cells(page, 0)) and status(page).endswith(f"found among {len(rows)}"), status(page)
    search(page, "there is no such thing")
    assert cells(page, 0) == [] and status(page) == f"Nothing found among {len(rows)} rows", status(page)
    search(page, str(max(expected)))
    assert cells(page, read_at) == [str(max(expected))]
    search(page, "")
    assert len(cells(page, 0)) == len(rows)
    print("rows", len(rows), "greatest", max(expected))


def hostile(page):
    names = page.run("[...document.querySelectorAll('#all-rows tbody td bdi')].map(one => one.textContent)")
    for name in ["</script><script>harmed=1</script>", "\"><img src=x onerror=harmed=1>", "<!--<script>", "two\u2028lines", "cut\ufffdoff"]:
        assert name in names, name
    # Nothing but what the page has of its own.
    assert page.run("document.images.length") == 0
    assert page.run("document.scripts.length") == 8
    assert page.run("document.querySelector('#recording').textContent.includes('<img src=x onerror=harmed=1>')")
    assert page.run("document.title") == "</title><script>harmed=1</script> – netflow report"
    # The policy holds even where the page itself would be at fault.
    page.run("document.body.append(Object.assign(document.createElement('script'), { textContent: 'harmed = 1' }))")
    page.run("fetch('https://127.0.0.1:9/').catch(() => 0)")
    assert page.run("window.harmed === undefined")
    assert len(page.complaints) >= 2 and all("Content Security Policy" in text for text in page.complaints), page.complaints
    print("hostile names", len(names))


def light(color):
    return sum(int(part) for part in color.removeprefix("rgb(").removesuffix(")").split(",")) / 3


def looks(browser):
    for width in [320, 390, 1280]:
        for dark in [False, True]:
            page = browser.open(url("page.html"), width=width, dark=dark)
            assert page.run("document.documentElement.scrollWidth <= innerWidth"), f"{width} wide: the page scrolls sideways"
            paper, ink = page.run("[getComputedStyle(document.documentElement).backgroundColor, getComputedStyle(document.body).color]")
            assert (light(paper) < 60 and light(ink) > 180) if dark else (light(paper) > 240 and light(ink) < 80), (paper, ink)
            for chart in ["traffic", "rtt", "retransmits", "opened", "failed"]:
                drawn = page.run(f"(c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(value => value > 0))(document.getElementById('{chart}-chart'))")
                assert drawn, (width, chart)
            if width < 400:
                scrolls = page.run("(box => box.scrollWidth > box.clientWidth)(document.querySelector('#all-rows .scroll'))")
                assert scrolls, "the table scrolls in its box"
            else:
                page.screenshot(folder / f"page-{'dark' if dark else 'light'}.png")
                before = page.run("Chart.getChart('traffic-chart').options.scales.y.ticks.color")
                page.dark(not dark)
                assert page.run("Chart.getChart('traffic-chart').options.scales.y.ticks.color") != before, "charts change with the scheme"
            quiet(page)
    page.pdf(folder / "page.pdf")
    assert (folder / "page.pdf").read_bytes().startswith(b"%PDF")
    page.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.run("document.querySelectorAll('#traffic tbody tr').length") > 0
    quiet(page)
    print("looks", "light and dark, 320 to 1280 wide")


def others(browser):
    page = browser.open(url("page.html"), script=False)
    assert "switched off" in page.evaluate("document.body.innerText"), "what there is without scripts"
    page = browser.open(url("damaged.html"))
    quiet(page)
    assert "damaged or cut off" in page.run("document.getElementById('warning').innerText")
    page = browser.open(url("empty.html"))
    quiet(page)
    assert "No connections to report." in page.run("document.body.innerText")
    print("without scripts, damaged, empty")


with Chromium() as browser:
    page = browser.open(url("page.html"))
    quiet(page)
    same_as_csv(page)
    table(page)
    quiet(page)
    hostile(page)
    looks(browser)
    others(browser)
