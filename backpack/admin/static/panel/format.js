/** Numbers, sizes and times as people read them. */

import { el } from "./dom.js";

const times = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "medium" });
const agos = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** @type {[Intl.RelativeTimeFormatUnit, number][]} */
const UNITS = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

/** @param {number} value with two digits behind the point at most */
export function number(value) {
  // By hand: an Intl.NumberFormat takes a browser 10 ms when it is asked for the first time.
  return String(value).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

/** @param {number} value bytes */
export function bytes(value) {
  if (value < 1_000) return `${value} B`;
  const [size, unit] = value < 1e6 ? [value / 1e3, "kB"] : value < 1e9 ? [value / 1e6, "MB"] : [value / 1e9, "GB"];
  return `${size < 10 ? size.toFixed(1) : Math.round(size)} ${unit}`;
}

/**
 * `1 file`, `2 files`.
 *
 * @param {number} amount
 * @param {string} one
 * @param {string} [many]
 */
export function count(amount, one, many = `${one}s`) {
  return `${number(amount)} ${amount === 1 ? one : many}`;
}

/**
 * How long ago or ahead a moment is.
 *
 * @param {Date} date
 */
export function ago(date) {
  const seconds = (date.getTime() - Date.now()) / 1_000;
  const [unit, length] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
  return unit === "second" ? "just now" : agos.format(Math.round(seconds / length), unit);
}

/**
 * An element that says how long ago a moment was, and by its title when.
 *
 * @param {string | number} moment ISO 8601, or ms since 1970
 */
export function when(moment) {
  const date = new Date(moment);
  return el("time", { datetime: date.toISOString(), title: times.format(date) }, ago(date));
}

/** @param {string | number} moment ISO 8601, or ms since 1970 */
export function exactly(moment) {
  return times.format(new Date(moment));
}
