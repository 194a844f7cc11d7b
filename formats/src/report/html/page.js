"use strict";
// Fills the page with its data.

(() => {
    const data = JSON.parse(document.getElementById("data").textContent);
    const totals = data.totals;

    head();
    figures();
    if (data.over_time) {
        showOverTime(data.over_time, data.interval_ms * 1e3);
    } else {
        for (const id of ["traffic", "quality"]) document.getElementById(id).hidden = true;
    }
    lists();
    losses();
    recordings();
    contents();

    function head() {
        const hosts = data.hosts.filter(host => host);
        const names = hosts.slice(0, 3).join(", ") + (hosts.length > 3 ? ` and ${hosts.length - 3} more` : "");
        if (names) document.getElementById("hosts").textContent = `Connections of ${names}`;
        if (names) document.title = `${names} – netflow report`;
        const when = document.getElementById("when");
        if (data.span) {
            const [first, last] = data.span;
            when.textContent = `${span(first, last)} UTC, ${howLong(last - first)}`;
        } else {
            when.textContent = "Nothing was recorded.";
        }
        const asked = document.getElementById("asked");
        for (const [option, value] of data.asked) {
            asked.append(make("li", {}, make("code", {}, option), ...(value ? [" ", make("bdi", {}, value)] : [])));
        }
        asked.hidden = !data.asked.length;
        const warning = document.getElementById("warning");
        const causes = [];
        if (data.is_damaged) causes.push("parts of the captures are damaged or cut off (netflow verify tells which)");
        if (data.is_lossy) causes.push("the recorder lost some of what happened");
        warning.hidden = !causes.length;
        if (causes.length)
            warning.append(
                "Numbers may be too low: ",
                causes.join("; "),
                ". ",
                make("a", { href: "#losses" }, "What is missing"),
            );
    }

    function figures() {
        const share = (part, whole, of) =>
            Number(part) > 0 && Number(whole) > 0
                ? `${((100 * Number(part)) / Number(whole)).toFixed(2)} % of ${of}`
                : "";
        const tried = BigInt(totals.failed) + BigInt(totals.opened);
        const entries = [
            [
                "Received",
                bytes(totals.received),
                plural(totals.packets_received, "packet"),
                `${count(totals.received)} bytes`,
            ],
            ["Sent", bytes(totals.sent), plural(totals.packets_sent, "packet"), `${count(totals.sent)} bytes`],
            [
                "Connections",
                count(totals.connections),
                `${count(totals.opened)} opened, ${count(totals.closed)} closed`,
            ],
            [
                "Failed connects",
                count(totals.failed),
                share(totals.failed, tried, "those tried"),
                "",
                Number(totals.failed) > 0,
            ],
            ["Sent again", count(totals.retransmits), share(totals.retransmits, totals.packets_sent, "packets sent")],
            [
                "Round-trip time",
                totals.rtt === null ? UNKNOWN : duration(totals.rtt),
                totals.rtt === null ? "not measured" : `${duration(totals.rtt_min)} to ${duration(totals.rtt_max)}`,
            ],
            ["Processes", count(totals.processes), plural(totals.peers, "destination")],
        ];
        section("figures", "dl").append(
            ...entries.map(([name, value, about, exact, isBad]) =>
                make(
                    "div",
                    isBad ? { class: "bad" } : {},
                    make("dt", {}, name),
                    make("dd", exact ? { title: exact } : {}, value),
                    make("dd", { class: "about" }, about ?? ""),
                ),
            ),
        );
    }

    function lists() {
        section("talkers", ".about").textContent = "A process on this side and a destination; the most bytes first.";
        grid(section("talkers", ".grid"), data.talkers, {
            name: "Who talks to whom",
            nouns: ["relation", "relations"],
            bars: true,
            search: true,
        });
        grid(section("processes", ".grid"), data.processes, {
            name: "Processes",
            nouns: ["process", "processes"],
            bars: true,
            search: true,
        });
        grid(section("peers", ".grid"), data.peers, {
            name: "Destinations",
            nouns: ["destination", "destinations"],
            bars: true,
            search: true,
        });
        for (const id of ["processes", "peers"]) section(id, ".about").textContent = "The most bytes first.";
        grid(section("failures", ".grid"), data.failures, {
            name: "Where connects failed",
            nouns: ["destination", "destinations"],
            empty: "No connect failed.",
        });
        const isPart = data.asked.some(([option]) => option === "--having");
        section("all-rows", ".about").textContent =
            "The report as it was asked for. Click a title to sort, with Shift to sort by a second column as well." +
            (isPart ? " --having leaves out rows here alone: all above is on every connection." : "");
        grid(section("all-rows", ".grid"), data.rows, {
            name: "All rows",
            size: 25,
            search: true,
            empty: "No connections to report.",
        });
    }

    function list(title, entries) {
        return make(
            "div",
            {},
            make("h3", {}, title),
            entries.length
                ? make("ul", {}, ...entries.map(entry => make("li", {}, ...entry)))
                : make("p", { class: "empty" }, "Nothing."),
        );
    }

    function losses() {
        const found = entries => entries.filter(entry => Number(entry.count) > 0);
        const lost = [...found(data.losses), ...found(data.oddities)].map(entry => [
            make("strong", {}, count(entry.count)),
            ` ${entry.what}`,
            ...(entry.name ? [" ", make("code", {}, entry.name)] : []),
        ]);
        const left = data.left_out.map(entry => [make("strong", {}, count(entry.count)), ` ${entry.what}`]);
        const seen = [
            [make("strong", {}, count(totals.events)), " events read"],
            [make("strong", {}, count(totals.unclosed)), " connections still open at the end"],
        ];
        section("losses", ".about").textContent =
            lost.length || data.is_damaged ? "" : "The recorder lost nothing, and nothing was strange.";
        if (data.is_damaged)
            lost.unshift(["Parts of the captures are damaged or cut off; netflow verify tells which."]);
        section("losses", ".lists").append(
            ...(lost.length ? [list("Lost or strange", lost)] : []),
            list("Connections left out of this report", left),
            list("Read", seen),
        );
    }

    function recordings() {
        const shown = data.recordings.slice(0, 20);
        const box = section("recording", ".lists");
        for (const facts of shown) {
            box.append(
                make(
                    "dl",
                    { class: "facts" },
                    ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, make("bdi", {}, value))]),
                ),
            );
        }
        if (data.recordings.length > shown.length)
            box.append(make("p", {}, `and ${plural(data.recordings.length - shown.length, "more recording")}`));
    }

    function contents() {
        const sections = [...document.querySelectorAll("main section[data-title]")].filter(
            one => !one.hidden && one.id !== "figures",
        );
        document
            .getElementById("contents")
            .append(...sections.map(one => make("a", { href: `#${one.id}` }, one.dataset.title)));
    }

    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
    // Paper is white and has its own width.
    matchMedia("print").addEventListener("change", paint);
    addEventListener("beforeprint", () => charts.forEach(one => one.resize()));
    addEventListener("afterprint", () => charts.forEach(one => one.resize()));
})();
