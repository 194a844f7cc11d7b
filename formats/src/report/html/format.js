"use strict";
// How values are written. Counters are numbers, or text of digits where a number would not be exact.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
const UNKNOWN = "–";
const WHOLE = new Intl.NumberFormat("en-US");

function bytes(value) {
    let amount = Number(value),
        unit = 0;
    for (; amount >= 1024 && unit < UNITS.length - 1; unit++) amount /= 1024;
    return (unit ? amount.toFixed(2) : String(amount)) + " " + UNITS[unit];
}

function duration(us) {
    const value = Number(us);
    if (value < 1e3) return `${value} µs`;
    return value < 1e6 ? `${(value / 1e3).toFixed(2)} ms` : `${(value / 1e6).toFixed(2)} s`;
}

function count(value) {
    return WHOLE.format(BigInt(value));
}

function isoTime(us) {
    const time = new Date(Math.floor(us / 1000));
    return Number.isNaN(time.getTime()) ? `${us} µs` : time.toISOString();
}

// A span of time; the day is said once.
function span(first, last) {
    const [from, to] = [time(first), time(last)];
    return `${from} to ${from.slice(0, 11) === to.slice(0, 11) ? to.slice(11) : to}`;
}

// 2026-11-23 09:00:00.5, without a fraction of zero.
function time(us) {
    return isoTime(us)
        .replace("T", " ")
        .replace(/\.?0*Z$/, "");
}

// How long: 36 s, 5 min 3 s, 2 h 5 min.
function howLong(us) {
    const seconds = us / 1e6;
    if (seconds < 60) return `${Number(seconds.toFixed(seconds < 10 ? 2 : 1))} s`;
    const parts = [
        [86400, "d"],
        [3600, "h"],
        [60, "min"],
        [1, "s"],
    ];
    const words = [];
    let left = Math.round(seconds);
    for (const [size, unit] of parts) {
        if (left >= size) words.push(`${Math.floor(left / size)} ${unit}`);
        left %= size;
    }
    return words.slice(0, 2).join(" ");
}

// A moment on an axis whose marks are `step` apart.
function moment(us, step, isWithinDay) {
    const iso = isoTime(us);
    if (step >= 86400e6) return iso.slice(0, 10);
    const day = isWithinDay ? "" : iso.slice(5, 10) + " ";
    if (step >= 60e6) return day + iso.slice(11, 16);
    return day + (step >= 1e6 ? iso.slice(11, 19) : iso.slice(11, 21));
}

function plural(number, one, many = `${one}s`) {
    return `${count(number)} ${Number(number) === 1 ? one : many}`;
}

const WRITE = { text: String, id: String, bytes, duration, count, time };

function cellText(kind, value) {
    return value === null || value === undefined || value === "" ? UNKNOWN : WRITE[kind](value);
}

// An element with text in it, or with other elements. Text is never markup.
function make(name, attributes = {}, ...content) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...content);
    return element;
}

// An element within a section of the page.
function section(id, part) {
    return document.querySelector(`#${id} ${part}`);
}
