"use strict";
// Tables that sort, search and page. In: {columns, rows, more}. The library keeps the state, here it is shown.

const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
const PAGES = [10, 25, 100, 500];

function compareNumbers(a, b) {
    // Exact also between a number and the digits of one that is too large for it.
    if (typeof a === "number" && typeof b === "number") return a - b;
    const [x, y] = [BigInt(a), BigInt(b)];
    return x < y ? -1 : x > y ? 1 : 0;
}

function compareTexts(a, b) {
    return collator.compare(a, b) || (a < b ? -1 : a > b ? 1 : 0);
}

// Shows the table in `box`. `name` is what it is, `noun` what its rows are called; `bars`: bytes have a bar behind them.
function grid(box, table, { name, nouns = ["row", "rows"], size = 10, search = false, bars = false, empty = "None." }) {
    box.replaceChildren();
    if (!table.rows.length) {
        const more = plural(table.more, ...nouns);
        box.append(make("p", { class: "empty" }, table.more ? `${more}, none of them in this page.` : empty));
        return;
    }
    const isText = column => column.kind === "text";
    const columns = table.columns.map((column, index) => ({
        id: String(index),
        accessorFn: row => row[index] ?? undefined,
        sortingFn: (a, b, id) => (isText(column) ? compareTexts : compareNumbers)(a.getValue(id), b.getValue(id)),
        sortDescFirst: !["text", "id", "time"].includes(column.kind),
        sortUndefined: "last",
    }));
    const most = Math.max(
        0,
        ...table.rows.flatMap(row => row.filter((cell, index) => table.columns[index].kind === "bytes").map(Number)),
    );
    const texts = new Map();
    const rowText = row => {
        if (!texts.has(row)) {
            // A space apart, so that no word is found across two cells; exact numbers can be searched for, too.
            const cells = row.map((cell, index) => `${cellText(table.columns[index].kind, cell)} ${cell ?? ""}`);
            texts.set(row, cells.join(" ").toLowerCase());
        }
        return texts.get(row);
    };

    const model = TableCore.createTable({
        data: table.rows,
        columns,
        state: {},
        renderFallbackValue: null,
        onStateChange: () => {},
        getCoreRowModel: TableCore.getCoreRowModel(),
        getSortedRowModel: TableCore.getSortedRowModel(),
        getFilteredRowModel: TableCore.getFilteredRowModel(),
        getPaginationRowModel: TableCore.getPaginationRowModel(),
        autoResetPageIndex: false,
        enableMultiSort: true,
        // The whole row is searched, once.
        getColumnCanGlobalFilter: column => column.id === "0",
        globalFilterFn: (row, id, words) => words.every(word => rowText(row.original).includes(word)),
    });
    let state = { ...model.initialState, pagination: { pageIndex: 0, pageSize: size } };
    const adopt = () => model.setOptions(options => ({ ...options, state }));
    adopt();
    model.setOptions(options => ({
        ...options,
        onStateChange: change => {
            state = typeof change === "function" ? change(state) : change;
            adopt();
            draw();
        },
    }));

    const heads = table.columns.map((column, index) => {
        const arrow = make("span", { "aria-hidden": "true", class: "arrow" });
        const button = make("button", { type: "button", title: column.help }, column.title, arrow);
        button.addEventListener("click", event => {
            model.setPageIndex(0);
            model.getColumn(String(index)).toggleSorting(undefined, event.shiftKey);
        });
        return make("th", { scope: "col", class: column.kind }, button);
    });
    const body = make("tbody");
    const scroll = make(
        "div",
        { class: "scroll", tabindex: "0", role: "region", "aria-label": name },
        make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body),
    );
    const status = make("p", { class: "status", role: "status" });
    const steps = [
        ["First page", "«", () => model.setPageIndex(0)],
        ["Previous page", "‹", () => model.previousPage()],
        ["Next page", "›", () => model.nextPage()],
        ["Last page", "»", () => model.setPageIndex(model.getPageCount() - 1)],
    ];
    const buttons = steps.map(([label, sign, go]) => {
        const button = make("button", { type: "button", "aria-label": label, title: label }, sign);
        button.addEventListener("click", go);
        return button;
    });
    const sizes = make("select", { "aria-label": "Rows on a page" });
    for (const pageSize of PAGES) sizes.append(make("option", { value: pageSize }, `${pageSize} rows`));
    sizes.value = String(size);
    sizes.addEventListener("change", () => model.setPagination({ pageIndex: 0, pageSize: Number(sizes.value) }));
    const pager = make("div", { class: "pager" }, ...buttons, sizes);
    const isSmall = table.rows.length <= PAGES[0];
    if (search && table.rows.length > PAGES[1]) {
        const field = make("input", {
            type: "search",
            placeholder: "Search: all words, in any column",
            autocomplete: "off",
            spellcheck: "false",
            "aria-label": `Search ${name}`,
        });
        field.addEventListener("input", () => {
            const words = field.value
                .toLowerCase()
                .split(/\s+/)
                .filter(word => word);
            model.setPageIndex(0);
            model.setGlobalFilter(words.length ? words : undefined);
        });
        box.append(make("div", { class: "search" }, field));
    }
    box.append(scroll, make("div", { class: "foot" }, status, ...(isSmall ? [] : [pager])));

    function cell(column, value) {
        const text = cellText(column.kind, value);
        const element = make("td", { class: column.kind }, column.kind === "text" ? make("bdi", {}, text) : text);
        if (text === UNKNOWN) element.classList.add("unknown");
        else if (["bytes", "duration"].includes(column.kind))
            element.title = `${count(value)} ${column.kind === "bytes" ? "bytes" : "µs"}`;
        if (bars && column.kind === "bytes" && most > 0) {
            element.classList.add("bar");
            element.style.setProperty("--share", `${(100 * Number(value ?? 0)) / most}%`);
        }
        return element;
    }

    function draw() {
        heads.forEach((head, index) => {
            const sorted = model.getColumn(String(index)).getIsSorted();
            head.setAttribute("aria-sort", { asc: "ascending", desc: "descending" }[sorted] ?? "none");
            head.querySelector(".arrow").textContent = { asc: "▲", desc: "▼" }[sorted] ?? "";
        });
        const rows = model.getRowModel().rows;
        body.replaceChildren(
            ...rows.map(row =>
                make("tr", {}, ...table.columns.map((column, index) => cell(column, row.original[index]))),
            ),
        );
        scroll.scrollTop = 0;
        const found = model.getFilteredRowModel().rows.length;
        const { pageIndex, pageSize } = state.pagination;
        const range =
            found > rows.length
                ? `${count(pageIndex * pageSize + 1)} to ${count(pageIndex * pageSize + rows.length)} of `
                : "";
        const of = found < table.rows.length ? ` found among ${count(table.rows.length)}` : "";
        const more = table.more ? `; ${plural(table.more, ...nouns.map(noun => `more ${noun}`))} not in this page` : "";
        status.textContent = found
            ? `${range}${plural(found, ...nouns)}${of}${more}`
            : `Nothing found among ${plural(table.rows.length, ...nouns)}${more}`;
        buttons[0].disabled = buttons[1].disabled = !model.getCanPreviousPage();
        buttons[2].disabled = buttons[3].disabled = !model.getCanNextPage();
    }
    draw();
}
