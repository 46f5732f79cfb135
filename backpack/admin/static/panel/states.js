/** Whether backpacks are up: asked again and again for those that are on the screen, no others. */

import { api } from "./api.js";

/** @typedef {{name: string, state: string, reason: string, services: {name: string, wanted: number, running: number, image: string, reason: string}[], databases: Record<string, string>}} Status */

const PAUSE = 4_000; // ms between two questions
const MOST = 100; // names in one question
const SOON = 60; // ms in which rows that come into sight are asked for together

/** Says how the backpacks are whose rows are watched. */
export function watchStates() {
  /** @type {Map<Element, {name: string, shown: Element}>} */
  const rows = new Map();
  /** @type {Set<Element>} */
  const visible = new Set();
  /** @type {ReturnType<typeof setTimeout>} */
  let timer;

  const ask = async () => {
    const names = [...visible].map((row) => rows.get(row)?.name).filter((name) => name !== undefined);
    if (names.length && document.visibilityState === "visible") {
      const found = await statuses(names.slice(0, MOST)).catch(() => null);
      for (const row of visible) {
        const known = rows.get(row);
        if (known) showState(known.shown, found?.get(known.name) ?? null);
      }
    }
    clearTimeout(timer);
    timer = setTimeout(ask, PAUSE);
  };

  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) visible.add(target);
      else visible.delete(target);
    }
    clearTimeout(timer);
    timer = setTimeout(ask, SOON);
  });
  return {
    /**
     * @param {Element} row
     * @param {string} name
     * @param {Element} shown
     */
    watch(row, name, shown) {
      rows.set(row, { name, shown });
      observer.observe(row);
    },
    /** All rows are others from now on. */
    forget() {
      observer.disconnect();
      rows.clear();
      visible.clear();
    },
  };
}

/**
 * @param {string[]} names
 * @returns {Promise<Map<string, Status>>}
 */
export async function statuses(names) {
  /** @type {Status[]} */
  const found = await api("GET", `/api/status?names=${names.map(encodeURIComponent).join(",")}`);
  return new Map(found.map((one) => [one.name, one]));
}

/**
 * @param {Element} shown
 * @param {Status | null} status
 */
export function showState(shown, status) {
  const state = status?.state ?? "unknown";
  const text = status?.reason ? `${state}: ${status.reason}` : state;
  if (shown.textContent === text) return;
  shown.className = `state ${state}`;
  shown.textContent = text;
}
