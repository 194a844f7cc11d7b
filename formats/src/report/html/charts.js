"use strict";
// The charts over time. In: one value a window. The library draws; here are colours, axes and words.

const COLORS = ["#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e"];
const REST = "#9498a0";
// Lengths between two marks of an axis, in µs.
const MARKS = [
    0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800,
    2592000, 31536000, 315360000,
].map(seconds => seconds * 1e6);

const style = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const charts = [];

function windowStart(over, index) {
    return over.start_us + index * over.every_us;
}

function windowText(over, index) {
    return span(windowStart(over, index), windowStart(over, index + 1));
}

// Marks at round times, as many as there is room for.
function timeAxis(over, windows) {
    const isWithinDay = isoTime(over.start_us).slice(0, 10) === isoTime(windowStart(over, windows - 1)).slice(0, 10);
    let step = MARKS[0];
    return {
        stacked: true,
        grid: { display: false },
        border: { color: style("--line") },
        ticks: {
            autoSkip: false,
            maxRotation: 0,
            color: style("--muted"),
            callback: index => moment(windowStart(over, index), step, isWithinDay),
        },
        afterBuildTicks: axis => {
            const room = Math.max(2, Math.floor(axis.chart.width / (isWithinDay ? 85 : 110)));
            step =
                MARKS.find(mark => mark >= over.every_us && (windows * over.every_us) / mark <= room) ?? MARKS.at(-1);
            const at = Array.from({ length: windows }, (_, index) => index);
            // The window in which a round time is.
            const marks = at.filter(
                index =>
                    Math.floor(windowStart(over, index) / step) !== Math.floor(windowStart(over, index - 1) / step),
            );
            axis.ticks = (marks.length ? marks : [0]).map(value => ({ value }));
        },
    };
}

function valueAxis(write, isLogarithmic) {
    const isRound = value =>
        [1, 2, 5].includes(Number(String(Math.round(value))[0])) && Number(String(Math.round(value)).slice(1)) === 0;
    return {
        type: isLogarithmic ? "logarithmic" : "linear",
        stacked: !isLogarithmic,
        beginAtZero: !isLogarithmic,
        grid: { color: style("--line") },
        border: { display: false },
        ticks: {
            color: style("--muted"),
            maxTicksLimit: 7,
            precision: 0,
            callback: value => (isLogarithmic && !isRound(value) ? null : write(value)),
        },
    };
}

// Numbers of an axis are round: 2 MiB and not 1.91 MiB.
function byteSteps(axis) {
    const unit = 1024 ** Math.floor(Math.log(Math.max(axis.max, 1)) / Math.log(1024));
    const rough = axis.max / unit / 5;
    const power = 10 ** Math.floor(Math.log10(rough || 1));
    const step =
        Math.max(1 / unit, [1, 2, 5, 10].map(digit => digit * power).find(size => size >= rough) ?? power) * unit;
    const ticks = [];
    for (let value = 0; value <= axis.max + step / 2 && ticks.length < 12; value += step) ticks.push({ value });
    axis.max = ticks.at(-1).value;
    axis.ticks = ticks;
}

function axisBytes(value) {
    return bytes(Math.round(value))
        .replace(/(\.\d*?)0+ /, "$1 ")
        .replace(". ", " ");
}

// A chart of bars over time; `about` is what somebody who does not see it is told.
function chart(id, over, datasets, { write, about, label, footer, isLogarithmic = false }) {
    const canvas = document.getElementById(id);
    canvas.setAttribute("aria-label", about);
    const windows = datasets[0].data.length;
    const values = valueAxis(write, isLogarithmic);
    if (write === axisBytes) values.afterBuildTicks = byteSteps;
    const built = new Chart(canvas, {
        type: "bar",
        data: { labels: Array.from({ length: windows }, (_, index) => index), datasets },
        options: {
            animation: false,
            responsive: true,
            maintainAspectRatio: false,
            locale: "en-US",
            interaction: { mode: "index", intersect: false },
            datasets: { bar: { categoryPercentage: 1, barPercentage: windows > 120 ? 1 : 0.9 } },
            scales: { x: timeAxis(over, windows), y: values },
            plugins: {
                legend: { display: false },
                tooltip: {
                    ...tooltipColors(),
                    borderWidth: 1,
                    padding: 10,
                    boxPadding: 5,
                    usePointStyle: false,
                    titleMarginBottom: 8,
                    footerMarginTop: 8,
                    filter: item => item.raw !== null && (isLogarithmic || Number(item.raw) > 0),
                    itemSort: (a, b) => (isLogarithmic ? 0 : Number(b.raw) - Number(a.raw)),
                    callbacks: {
                        title: items => (items.length ? windowText(over, items[0].dataIndex) : ""),
                        label,
                        footer,
                    },
                },
            },
        },
    });
    charts.push(built);
    return built;
}

function tooltipColors() {
    return {
        backgroundColor: style("--raised"),
        borderColor: style("--line"),
        titleColor: style("--text"),
        bodyColor: style("--text"),
        footerColor: style("--text"),
        multiKeyBackground: style("--raised"),
    };
}

// Colours of the page, which change with the scheme and for paper.
function paint() {
    for (const one of charts) {
        for (const scale of [one.options.scales.x, one.options.scales.y]) {
            scale.ticks.color = style("--muted");
            if (scale.grid.display !== false) scale.grid.color = style("--line");
        }
        one.options.scales.x.border.color = style("--line");
        Object.assign(one.options.plugins.tooltip, tooltipColors());
        one.update();
    }
}

function legend(box, built) {
    built.data.datasets.forEach((dataset, index) => {
        const swatch = make("span", { class: "swatch", "aria-hidden": "true" });
        swatch.style.backgroundColor = dataset.backgroundColor;
        const button = make(
            "button",
            { type: "button", "aria-pressed": "true", title: "Show or hide" },
            swatch,
            make("bdi", {}, dataset.label),
        );
        button.addEventListener("click", () => {
            const isShown = !built.isDatasetVisible(index);
            built.setDatasetVisibility(index, isShown);
            button.setAttribute("aria-pressed", String(isShown));
            built.update();
        });
        box.append(button);
    });
}
