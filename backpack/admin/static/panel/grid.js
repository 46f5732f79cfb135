/**
 * A table of documents: rows stay the same elements while their documents change, so that focus,
 * selection and place do too, and what the app has changed can be shown.
 */

import { cellOf, columnsOf, fieldOf, same, widthOf } from "./columns.js";
import { el, fill } from "./dom.js";
import { glow } from "./rows.js";
import { walk } from "./walking.js";

/** @typedef {import("./columns.js").Doc} Doc */
/** @typedef {{ doc: Doc, element: HTMLTableRowElement, box: HTMLInputElement, cells: Map<string, HTMLTableCellElement> }} Row */

export const MOST = 40; // columns at once

/**
 * @typedef {object} Told
 * @property {(doc: Doc) => void} onopen a document is to be edited
 * @property {(sort: string) => void} onsort
 * @property {(chosen: string[]) => void} onselect
 * @property {() => void} ondelete the chosen documents are to be deleted
 */

export class Grid {
  /** @type {string[]} */
  #columns = [];
  /** @type {Set<string>} */
  #hidden = new Set();
  /** @type {Map<string, Row>} */
  #rows = new Map();
  /** @type {Set<string>} */
  #chosen = new Set();
  #sort = "";
  #first = 0;
  /** @type {Map<string, number>} characters that the columns are wide */
  #widths = new Map();

  /**
   * @param {HTMLTableElement} table
   * @param {Told} told
   */
  constructor(table, told) {
    this.table = table;
    this.told = told;
    this.head = el("thead");
    this.body = el("tbody");
    this.all = el("input", { type: "checkbox", tabindex: 0, "aria-label": "Select all rows of this page", change: () => this.#chooseAll(this.all.checked) });
    table.replaceChildren(this.head, this.body);
    table.addEventListener("keydown", (event) => this.#key(event));
    table.addEventListener("click", (event) => this.#click(event));
    table.addEventListener("change", (event) => this.#change(event));
    walk(table);
  }

  get chosen() {
    return [...this.#chosen];
  }

  get columns() {
    return this.#columns;
  }

  get documents() {
    return [...this.#rows.values()].map(({ doc }) => doc);
  }

  /** Forget columns, rows and choice: what comes next is another collection. */
  clear() {
    this.#columns = [];
    this.#widths.clear();
    this.#rows.clear();
    this.choose([]);
    fill(this.head);
    fill(this.body);
  }

  /**
   * @param {Doc[]} documents
   * @param {{ sort: string, first: number, total: number, live: boolean }} known `first`: how many
   *   documents come before; `live`: what is new is so by a change, and shown as that
   */
  show(documents, { sort, first, total, live }) {
    const columns = columnsOf(documents, this.#columns);
    const isOther = !same(columns, this.#columns);
    this.#first = first;
    this.#columns = columns;
    this.table.setAttribute("aria-rowcount", String(total + 1));
    if (isOther || !this.#rows.size) this.#measure(documents);
    if (isOther || sort !== this.#sort) this.#drawHead(sort);
    if (isOther) for (const row of this.#rows.values()) this.#fillRow(row);
    this.#drawBody(documents, live);
    this.#drawChoice();
    if (!this.table.querySelector('[tabindex="0"]')) this.all.tabIndex = 0;
  }

  /** @param {Iterable<string>} names columns that are not shown */
  hide(names) {
    const hidden = new Set(names);
    if (same([...hidden], [...this.#hidden])) return;
    this.#hidden = hidden;
    this.#drawHead(this.#sort);
    for (const row of this.#rows.values()) this.#fillRow(row);
  }

  /** @param {string[]} ids */
  choose(ids) {
    this.#chosen = new Set(ids);
    this.#drawChoice();
  }

  get #shown() {
    return this.#columns.filter((name) => !this.#hidden.has(name)).slice(0, MOST);
  }

  /** @param {Doc[]} documents */
  #measure(documents) {
    for (const name of this.#columns) this.#widths.set(name, Math.max(this.#widths.get(name) ?? 0, widthOf(name, documents)));
  }

  /** @param {string} sort */
  #drawHead(sort) {
    this.#sort = sort;
    const focused = document.activeElement?.closest("th")?.dataset.name;
    const cells = this.#shown.map((name) => this.#headCell(name));
    fill(this.head, el("tr", { "aria-rowindex": 1 }, el("th", { class: "choice", scope: "col" }, this.all), ...cells));
    const width = this.#shown.reduce((sum, name) => sum + this.#width(name), 0);
    this.table.style.width = `calc(${width}ch + 2.6rem)`;
    cells.find(({ dataset }) => focused !== undefined && dataset.name === focused)?.querySelector("button")?.focus();
  }

  /** @param {string} name */
  #headCell(name) {
    const direction = this.#sort === name ? "ascending" : this.#sort === `-${name}` ? "descending" : "none";
    const next = direction === "none" ? name : direction === "ascending" ? `-${name}` : "";
    // A field whose name is no path cannot be sorted by.
    const isPath = name !== "" && !/[,.$]/.test(name) && !name.startsWith("-");
    const sort = () => {
      // At once, so that the next press goes on from there.
      this.#drawHead(next);
      this.told.onsort(next);
    };
    const label = isPath ? el("button", { type: "button", tabindex: -1, click: sort }, name) : el("span", {}, name);
    const cell = el("th", { scope: "col", "aria-sort": isPath ? direction : null, "data-name": name }, label);
    cell.style.width = `${this.#width(name)}ch`;
    return cell;
  }

  /** @param {string} name */
  #width(name) {
    return this.#widths.get(name) ?? 10;
  }

  /**
   * @param {Doc[]} documents
   * @param {boolean} live
   */
  #drawBody(documents, live) {
    const ids = new Set(documents.map(({ _id }) => _id));
    for (const [id, row] of this.#rows) {
      if (ids.has(id)) continue;
      this.#leave(row);
      this.#rows.delete(id);
    }
    /** @type {Map<string, Row>} */
    const rows = new Map();
    let next = this.body.firstElementChild;
    documents.forEach((doc, place) => {
      const row = this.#rows.get(doc._id);
      const drawn = row ? this.#update(row, doc, live) : this.#add(doc, live);
      drawn.element.setAttribute("aria-rowindex", String(this.#first + place + 2));
      if (next === drawn.element) next = next.nextElementSibling;
      else this.body.insertBefore(drawn.element, next);
      rows.set(doc._id, drawn);
    });
    this.#rows = rows;
  }

  /** @param {Row} row its document is gone; who was in it goes on in the next one */
  #leave({ element }) {
    const next = element.nextElementSibling ?? element.previousElementSibling;
    const column = [...element.children].findIndex((cell) => cell.contains(document.activeElement));
    if (column >= 0) {
      const cell = next?.children[column];
      /** @type {HTMLElement | null} */ (cell?.querySelector("button, input") ?? cell ?? null)?.focus();
    }
    element.remove();
  }

  /**
   * @param {Doc} doc
   * @param {boolean} live
   * @returns {Row}
   */
  #add(doc, live) {
    const box = el("input", { type: "checkbox", tabindex: -1, "aria-label": `Select ${doc._id}` });
    const row = { doc, box, element: el("tr", { "data-id": doc._id }), cells: new Map() };
    this.#fillRow(row);
    if (live) glow(row.element);
    return row;
  }

  /** @param {Row} row */
  #fillRow(row) {
    const focused = [...row.cells].find(([, cell]) => cell.contains(document.activeElement))?.[0];
    row.cells = new Map(this.#shown.map((name) => [name, drawCell(el("td", { tabindex: -1 }), name, fieldOf(row.doc, name))]));
    fill(row.element, el("td", { class: "choice" }, row.box), ...row.cells.values());
    const cell = focused === undefined ? undefined : row.cells.get(focused);
    (cell?.querySelector("button") ?? cell)?.focus();
  }

  /**
   * @param {Row} row
   * @param {Doc} doc
   * @param {boolean} live
   */
  #update(row, doc, live) {
    const before = row.doc;
    row.doc = doc;
    for (const [name, cell] of row.cells) {
      if (same(fieldOf(before, name), fieldOf(doc, name))) continue;
      drawCell(cell, name, fieldOf(doc, name));
      if (live) glow(cell);
    }
    return row;
  }

  /** @param {string} id */
  #toggle(id) {
    if (!this.#chosen.delete(id)) this.#chosen.add(id);
    this.#drawChoice();
  }

  /** @param {boolean} chosen */
  #chooseAll(chosen) {
    for (const id of this.#rows.keys()) {
      if (chosen) this.#chosen.add(id);
      else this.#chosen.delete(id);
    }
    this.#drawChoice();
  }

  #drawChoice() {
    let here = 0;
    for (const [id, { element, box }] of this.#rows) {
      const isChosen = this.#chosen.has(id);
      here += Number(isChosen);
      box.checked = isChosen;
      element.setAttribute("aria-selected", String(isChosen));
    }
    this.all.checked = here > 0 && here === this.#rows.size;
    this.all.indeterminate = here > 0 && here < this.#rows.size;
    this.told.onselect(this.chosen);
  }

  /** @param {Event} event @returns {Row | undefined} */
  #rowOf({ target }) {
    const element = target instanceof Element ? target.closest("tr") : null;
    return this.#rows.get(element?.dataset.id ?? "");
  }

  /** @param {MouseEvent} event */
  #click(event) {
    const row = this.#rowOf(event);
    const target = /** @type {Element} */ (event.target);
    if (!row || target.closest(".choice") || String(getSelection())) return;
    if (event.shiftKey || event.ctrlKey || event.metaKey) this.#toggle(row.doc._id);
    else this.told.onopen(row.doc);
  }

  /** @param {Event} event of a row's box */
  #change(event) {
    const row = this.#rowOf(event);
    if (row) this.#toggle(row.doc._id);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const act = this.#actionOf(event);
    if (!act) return;
    event.preventDefault();
    act();
  }

  /** @param {KeyboardEvent} event @returns {(() => void) | null} */
  #actionOf(event) {
    const { key, target, ctrlKey, metaKey } = event;
    if (key.toLowerCase() === "a" && (ctrlKey || metaKey)) return () => this.#chooseAll(true);
    if (key === "Delete") return this.#chosen.size ? this.told.ondelete : null;
    const row = this.#rowOf(event);
    if (!row) return null;
    if (key === "Enter") return () => this.told.onopen(row.doc);
    return key === " " && !(target instanceof HTMLInputElement) ? () => this.#toggle(row.doc._id) : null;
  }
}

/**
 * @param {HTMLTableCellElement} cell
 * @param {string} name
 * @param {unknown} value
 */
function drawCell(cell, name, value) {
  const { text, kind } = cellOf(value);
  cell.className = name === "_id" ? "id" : kind;
  cell.textContent = text;
  return cell;
}
