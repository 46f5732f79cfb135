/** What is said of a request, a websocket message or a broadcast. */

import { el } from "./dom.js";
import { bytes, count, exactly } from "./format.js";
import { write } from "./json.js";

/** @typedef {{ user: string, connection: number, why_not: string | null }} Receiver */
/** @typedef {{ id: string, at: string, body?: string | null }} Kept */
/** @typedef {Kept & { kind: "request", method: string, path: string, status: number, rule: string | null, ms: number, received: number, sent: number, user: string | null, address: string, answer?: string | null }} Request */
/** @typedef {Kept & { kind: "message", action: string, code: string | null, rule: string | null, ms: number, received: number, user: string, connection: number }} Message */
/** @typedef {Kept & { kind: "broadcast", event: string, receivers: number, others: Record<string, number>, connections: Receiver[] }} Broadcast */
/** @typedef {Request | Message | Broadcast} Entry */
/** @typedef {{ what: string, where: string, status: string, tone: string, took: string, user: string }} Summary */
/** @typedef {{ kind: string, method: string, status: string, path: string, user: string }} Wanted */
/** @typedef {(id: string) => string} Name */

const WHY = /** @type {Record<string, string>} */ ({
  backlog: "is too slow: earlier ones still wait for it",
  "catching up": "is catching up after a break, and gets it then",
  "not for this user": "is for others",
  "not subscribed": "has not joined its channel",
  rule: "may not read the document, by its rules",
});

const LETS = /** @type {Record<string, string>} */ ({
  member: "who has joined the channel",
  none: "nobody",
  owner: "the owner of the document or file",
  user: "who is logged in",
});

/**
 * The entries of several processes as one list, the newest first. Each process tells of a broadcast
 * to its own connections: together that is one.
 *
 * @param {Entry[]} entries the newest first where they have the same time
 * @returns {Entry[]}
 */
export function inOrder(entries) {
  /** @type {Map<string, Entry>} */
  const found = new Map();
  for (const entry of entries) {
    const key = entry.kind === "broadcast" ? `broadcast ${entry.event}` : entry.id;
    const known = found.get(key);
    if (!known) found.set(key, entry);
    else if (known.kind === "broadcast" && entry.kind === "broadcast") found.set(key, together(known, entry));
  }
  return [...found.values()].sort((one, other) => (one.at < other.at ? 1 : one.at > other.at ? -1 : 0));
}

/**
 * @param {Broadcast} one
 * @param {Broadcast} other
 * @returns {Broadcast}
 */
function together(one, other) {
  if (one.id.split(" ").includes(other.id)) return one;
  const others = { ...one.others };
  for (const [why, more] of Object.entries(other.others)) others[why] = (others[why] ?? 0) + more;
  const { at } = one.at < other.at ? one : other;
  const connections = [...one.connections, ...other.connections];
  return { ...one, id: `${one.id} ${other.id}`, at, others, receivers: one.receivers + other.receivers, connections };
}

/**
 * @param {Entry} entry
 * @param {Name} name
 * @returns {Summary}
 */
export function summaryOf(entry, name) {
  if (entry.kind === "request") {
    const { method, path, status, ms, user } = entry;
    return { what: method, where: path, status: String(status), tone: toneOf(status), took: duration(ms), user: user ? name(user) : "" };
  }
  if (entry.kind === "message") {
    const { action, code, ms, user } = entry;
    return { what: "message", where: action, status: code ?? "ok", tone: code ? "warn" : "good", took: duration(ms), user: name(user) };
  }
  return { what: "broadcast", where: subjectOf(entry.body ?? ""), status: `to ${entry.receivers}`, tone: entry.receivers ? "busy" : "", took: "", user: "" };
}

/** @param {string} body the beginning of a broadcast's JSON */
function subjectOf(body) {
  const [, action = ""] = /"action":"((?:[^"\\]|\\.)*)"/.exec(body) ?? [];
  const [, collection = ""] = /^\{"action":"[^"]*","collection":"([^"]*)"/.exec(body) ?? [];
  return [action, collection].filter(Boolean).join(" ");
}

/** @param {number} ms */
const duration = (ms) => ms.toFixed(ms < 10 ? 1 : 0);

/** @param {number} status */
function toneOf(status) {
  if (status >= 500) return "bad";
  if (status >= 400) return "warn";
  return status >= 200 && status < 300 ? "good" : "";
}

/**
 * @param {Entry} entry
 * @param {Wanted} wanted
 * @param {Name} name
 */
export function matches(entry, wanted, name) {
  const { what, where, user } = summaryOf(entry, name);
  const id = entry.kind === "broadcast" ? "" : (entry.user ?? "");
  return [
    !wanted.kind || entry.kind === wanted.kind,
    !wanted.method || what === wanted.method,
    !wanted.status || statusOf(entry).startsWith(wanted.status),
    isIn(wanted.path, where),
    isIn(wanted.user, user) || isIn(wanted.user, id),
  ].every(Boolean);
}

/** @param {Entry} entry a message that is refused counts as a request that is */
function statusOf(entry) {
  if (entry.kind === "request") return String(entry.status);
  return entry.kind === "message" && entry.code ? "4" : "2";
}

/** @param {string} part @param {string} text */
const isIn = (part, text) => text.toLowerCase().includes(part.trim().toLowerCase());

/**
 * @param {Entry} entry
 * @param {Name} name
 * @returns {import("./dom.js").Child[]}
 */
export function detailsOf(entry, name) {
  return [facts(entry, name), entry.kind === "broadcast" && receivers(entry, name), content("Body", entry.body), entry.kind === "request" && content("Answer", entry.answer)];
}

/** @param {Entry} entry @param {Name} name */
function facts(entry, name) {
  /** @type {[string, string][]} */
  const told = [["Time", exactly(entry.at)]];
  if (entry.kind === "broadcast") told.push(["Received by", count(entry.receivers, "connection")]);
  else {
    told.push(["Took", `${entry.ms} ms`]);
    if (entry.rule) told.push(["Refused by", refusal(entry.rule)]);
    told.push(["User", entry.user ? `${name(entry.user)} (${entry.user})` : "nobody is logged in"]);
    if (entry.kind === "message") told.push(["Connection", String(entry.connection)], ["Answer", entry.code ?? "ok"], ["Received", bytes(entry.received)]);
    else told.push(["Status", String(entry.status)], ["Address", entry.address], ["Received", bytes(entry.received)], ["Sent", bytes(entry.sent)]);
  }
  return el("dl", { class: "facts" }, ...told.map(([term, value]) => el("div", {}, el("dt", {}, term), el("dd", {}, value))));
}

/** @param {string} rule its name, a colon, and whom it lets */
function refusal(rule) {
  const whom = rule.slice(rule.lastIndexOf(" ") + 1);
  return `the rule ${rule}, which lets ${LETS[whom] ?? whom}`;
}

/** @param {string} title @param {string | null | undefined} text */
function content(title, text) {
  if (text === undefined) return el("p", { class: "hint" }, `${title}: only kept while somebody looks at this page.`);
  if (text === null) return el("p", { class: "hint" }, `${title}: none, or no JSON.`);
  return el("section", {}, el("h3", {}, title), el("pre", { class: "output", tabindex: 0, "aria-label": title }, indented(text)));
}

/** @param {string} text JSON, or the beginning of it */
function indented(text) {
  try {
    return write(JSON.parse(text));
  } catch {
    return text;
  }
}

/** @param {Broadcast} broadcast @param {Name} name */
function receivers({ connections, receivers: received, others }, name) {
  const all = received + Object.values(others).reduce((sum, one) => sum + one, 0);
  if (!all) return el("p", { class: "muted" }, "Nobody was connected.");
  const rows = connections.map(({ user, connection, why_not: why }) =>
    el(
      "tr",
      {},
      el("th", { scope: "row", class: "who" }, name(user)),
      el("td", { class: "number" }, String(connection)),
      el("td", {}, el("span", { class: why ? "tag" : "tag good" }, why ? "did not receive it" : "received it")),
      el("td", {}, why && (WHY[why] ?? why)),
    ),
  );
  const head = ["User", "Connection", "Result", "Why not"].map((text) => el("th", { scope: "col", class: text === "Connection" ? "number" : null }, text));
  const table = el("table", { class: "table" }, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows));
  return el("section", {}, el("h3", {}, "Who was connected"), el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Who was connected" }, table), all > rows.length && el("p", { class: "hint" }, `and ${count(all - rows.length, "connection")} more`));
}
