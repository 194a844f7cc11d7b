"use strict";
// What happened when: fills the charts. `interval` is the recorder's, in µs; 0 when unknown.

function showOverTime(over, interval) {
    traffic();
    quality();

    // What the recorder's interval means for the windows.
    function sampled() {
        if (!interval) return "";
        if (over.every_us < interval)
            return ` Open connections are counted when they are sampled, every ${howLong(interval)}: what goes on for longer shows as spikes.`;
        return over.opened.length < 30 && over.every_us < 5 * interval
            ? " Open connections were not sampled more often; --every makes shorter windows all the same."
            : "";
    }

    function traffic() {
        section("traffic", ".about").textContent = `Payload in windows of ${over.every}, by process.${sampled()}`;
        if (!over.groups.some(group => [...group.received, ...group.sent].some(value => Number(value) > 0))) {
            section("traffic", ".about").textContent = "No payload went either way.";
            for (const part of [".tools", ".chart", ".numbers"]) section("traffic", part).hidden = true;
            return;
        }
        const way = {
            both: group => group.received.map((value, index) => Number(value) + Number(group.sent[index])),
            received: group => group.received.map(Number),
            sent: group => group.sent.map(Number),
        };
        const label = group =>
            group.rest ? `${group.rest} other${group.rest === 1 ? "" : "s"}` : (group.name ?? "(unknown)");
        const datasets = over.groups.map((group, index) => ({
            label: label(group),
            data: way.both(group),
            backgroundColor: group.rest ? REST : COLORS[index],
        }));
        const seconds = over.every_us / 1e6;
        const rate = value => `${bytes(value)} (${bytes(Math.round(value / seconds))}/s)`;
        const built = chart("traffic-chart", over, datasets, {
            write: axisBytes,
            about: `Bytes in each ${over.every}, stacked by process. The table below the chart has the numbers.`,
            label: item => `${item.dataset.label}: ${rate(item.raw)}`,
            footer: items =>
                items.length > 1 ? `together: ${rate(items.reduce((sum, item) => sum + item.raw, 0))}` : "",
        });
        legend(section("traffic", ".legend"), built);
        section("traffic", ".choice").addEventListener("change", event => {
            built.data.datasets.forEach(
                (dataset, index) => (dataset.data = way[event.target.value](over.groups[index])),
            );
            built.update();
        });
        numbers(
            "traffic",
            "Traffic over time",
            over.groups.flatMap(group => [
                { title: `${label(group)} received`, kind: "bytes", values: group.received },
                { title: `${label(group)} sent`, kind: "bytes", values: group.sent },
            ]),
        );
    }

    function quality() {
        const some = (id, values, make) => {
            const figure = document.getElementById(`${id}-chart`).closest("figure");
            if (values.some(value => Number(value ?? 0) > 0)) return make();
            figure.querySelector(".chart").hidden = true;
            figure.querySelector(".empty").hidden = false;
            return null;
        };
        const plain = (id, values, color, what) =>
            some(id, values, () =>
                chart(`${id}-chart`, over, [{ label: what, data: values.map(Number), backgroundColor: color }], {
                    write: value => (Number.isInteger(value) ? count(value) : null),
                    about: `${what} in each ${over.every}.`,
                    label: item => `${count(values[item.dataIndex])}`,
                }),
            );
        some("rtt", over.rtt, () => {
            const range = over.rtt.map((value, index) =>
                value === null ? null : [Number(over.rtt_min[index]), Number(over.rtt_max[index])],
            );
            const built = chart(
                "rtt-chart",
                over,
                [
                    {
                        label: "range",
                        data: range,
                        backgroundColor: `${COLORS[0]}55`,
                        minBarLength: 2,
                        borderSkipped: false,
                    },
                    {
                        label: "mean",
                        data: over.rtt.map(value => (value === null ? null : Number(value))),
                        type: "line",
                        borderColor: COLORS[0],
                        backgroundColor: COLORS[0],
                        borderWidth: 1.5,
                        pointRadius: over.rtt.length > 80 ? 1 : 2.5,
                        spanGaps: false,
                    },
                ],
                {
                    write: value => duration(value).replace(/\.0+ /, " "),
                    isLogarithmic: true,
                    about: `Round-trip times in each ${over.every}: mean, smallest and greatest.`,
                    label: item =>
                        Array.isArray(item.raw)
                            ? `${duration(item.raw[0])} to ${duration(item.raw[1])}`
                            : `mean ${duration(item.raw)}`,
                },
            );
            return built;
        });
        plain("retransmits", over.retransmits, COLORS[1], "Segments sent again");
        plain("opened", over.opened, COLORS[4], "TCP connections opened");
        plain("failed", over.failed, COLORS[2], "TCP connects that failed");
        numbers("quality", "Quality over time", [
            { title: "rtt", kind: "duration", values: over.rtt },
            { title: "rtt min", kind: "duration", values: over.rtt_min },
            { title: "rtt max", kind: "duration", values: over.rtt_max },
            { title: "sent again", kind: "count", values: over.retransmits },
            { title: "opened", kind: "count", values: over.opened },
            { title: "failed", kind: "count", values: over.failed },
        ]);
    }

    // The numbers of charts, made when somebody wants to see them.
    function numbers(id, name, columns) {
        const details = section(id, ".numbers");
        details.addEventListener(
            "toggle",
            () => {
                const rows = columns[0].values.map((_, index) => [
                    windowStart(over, index),
                    ...columns.map(column => column.values[index]),
                ]);
                const titles = columns.map(({ title, kind }) => ({ title, kind, help: title }));
                grid(
                    details.querySelector(".grid"),
                    {
                        columns: [{ title: "from", kind: "time", help: `Beginning of ${over.every}` }, ...titles],
                        rows,
                        more: 0,
                    },
                    { name, nouns: ["window", "windows"], size: 25 },
                );
            },
            { once: true },
        );
    }
}
