/** Moving in a table by keyboard: one cell of it is in the tab order, arrows lead to the others. */

const FAR = 1_000_000; // more rows and columns than there are

const STEPS = /** @type {Record<string, [rows: number, columns: number]>} */ ({
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
  PageUp: [-10, 0],
  PageDown: [10, 0],
  Home: [0, -FAR],
  End: [0, FAR],
});

/**
 * Let arrows, Home, End, Page Up and Page Down lead through `table`, with Ctrl to its first and last row.
 *
 * @param {HTMLTableElement} table
 */
export function walk(table) {
  table.addEventListener("keydown", (event) => {
    const step = stepOf(event);
    const cell = cellAt(event.target);
    if (!step || !cell) return;
    event.preventDefault();
    go(table, cell, ...step);
  });
  table.addEventListener("focusin", ({ target }) => {
    for (const one of table.querySelectorAll('[tabindex="0"]')) one.setAttribute("tabindex", "-1");
    const cell = cellAt(target);
    if (cell) inside(cell).setAttribute("tabindex", "0");
  });
}

/** @param {KeyboardEvent} event @returns {[rows: number, columns: number] | null} */
function stepOf({ key, ctrlKey, altKey, metaKey }) {
  const step = STEPS[key];
  if (!step || altKey || metaKey) return null;
  if (!ctrlKey) return step;
  const [rows, columns] = step;
  return key === "Home" || key === "End" ? [columns, columns] : [rows * FAR, columns * FAR];
}

/** @param {EventTarget | null} target */
const cellAt = (target) => /** @type {HTMLTableCellElement | null} */ (target instanceof Element ? target.closest("td, th") : null);

/** @param {HTMLTableCellElement} cell @returns {HTMLElement} what is focused in it */
const inside = (cell) => cell.querySelector("button, input, a") ?? cell;

/**
 * @param {HTMLTableElement} table
 * @param {HTMLTableCellElement} cell
 * @param {number} rows
 * @param {number} columns
 */
function go(table, cell, rows, columns) {
  const from = /** @type {HTMLTableRowElement} */ (cell.parentElement);
  const row = table.rows[within(from.rowIndex + rows, table.rows.length)];
  const to = row?.cells[within(cell.cellIndex + columns, row.cells.length)];
  if (!to) return;
  if (!to.hasAttribute("tabindex") && inside(to) === to) to.setAttribute("tabindex", "-1");
  inside(to).focus();
}

/** @param {number} place @param {number} length */
const within = (place, length) => Math.min(length - 1, Math.max(0, place));
