/**
 * Files that were dropped or chosen, with their paths inside the folder they came in, and all of them
 * as a zip (APPNOTE.TXT 6.3.10), stored without compression: what sites are made of mostly is
 * compressed, and the upload is short beside it.
 */

import { ApiError } from "./api.js";

/** @typedef {{path: string, file: File}} Entry */

const MOST = 0xffff; // files in a zip without extensions
const LARGEST = 0xffffffff; // bytes
const TOGETHER = 32; // files that are read at once: each takes a turn of the browser
const DATE = 0x21; // 1 January 1980: what is packed twice is the same

const CRC = new Uint32Array(256).map((_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/**
 * @param {HTMLInputElement} input of files, or of a folder
 * @returns {Entry[]}
 */
export function filesOfInput(input) {
  return [...(input.files ?? [])].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
}

/**
 * What was dropped: files, and folders with all that is in them.
 *
 * @param {DataTransfer | null} transfer
 * @returns {Promise<Entry[]>}
 */
export async function filesOfDrop(transfer) {
  // Asked for before anything is awaited: the browser forgets them then.
  const roots = [...(transfer?.items ?? [])].map((item) => item.webkitGetAsEntry() ?? item.getAsFile()).filter((root) => root !== null);
  const found = (await Promise.all(roots.map((root) => (root instanceof File ? [{ path: root.name, file: root }] : walk(root))))).flat();
  if (!found.length) throw new ApiError("There are no files in what was dropped. Drop a zip, or a folder with an index.html.");
  return found;
}

/**
 * The zip, if that is all there is.
 *
 * @param {Entry[]} entries
 */
export function onlyZip(entries) {
  const [first] = entries;
  return entries.length === 1 && first && /\.zip$/i.test(first.file.name) ? first.file : null;
}

/**
 * @param {FileSystemEntry} entry
 * @returns {Promise<Entry[]>}
 */
async function walk(entry) {
  if (entry.isFile) {
    /** @type {File} */
    const file = await new Promise((resolve, reject) => /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject));
    return [{ path: entry.fullPath.replace(/^\//, ""), file }];
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  /** @type {Entry[]} */
  const found = [];
  for (;;) {
    // A reader gives some at a time, and none at the end.
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    found.push(...(await Promise.all(some.map(walk))).flat());
  }
}

/** @typedef {[size: 2 | 4, value: number]} Field */

/**
 * @param {{path: string, file: Blob}[]} entries
 * @param {(share: number) => void} [ondone] is told how much is packed, from 0 to 1
 */
export async function pack(entries, ondone) {
  if (entries.length > MOST) throw new ApiError(`A zip has ${MOST} files at most. Leave out what pages do not load.`);
  /** @type {BlobPart[]} */
  const parts = [];
  /** @type {BlobPart[]} */
  const directory = [];
  let [offset, length] = [0, 0];
  /** @type {Uint8Array[]} */
  let contents = [];
  for (const [at, { path }] of entries.entries()) {
    const place = at % TOGETHER;
    if (!place) contents = await Promise.all(entries.slice(at, at + TOGETHER).map(({ file }) => read(file)));
    const name = new TextEncoder().encode(path);
    const content = /** @type {Uint8Array<ArrayBuffer>} */ (contents[place]);
    const facts = describe(name, content);
    parts.push(numbers([4, 0x04034b50], ...facts), name, content);
    // Made by version 2.0 on Unix, whose rights stand in the upper half: a file, 0644.
    directory.push(numbers([4, 0x02014b50], [2, 0x0314], ...facts, [2, 0], [2, 0], [2, 0], [4, 0x81a40000], [4, offset]), name);
    offset += 30 + name.length + content.length;
    length += 46 + name.length;
    if (offset + length > LARGEST) throw new ApiError("This is more than a zip may have. Leave out what pages do not load.");
    ondone?.((at + 1) / entries.length);
  }
  const end = numbers([4, 0x06054b50], [2, 0], [2, 0], [2, entries.length], [2, entries.length], [4, length], [4, offset], [2, 0]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

/** @param {Blob} file */
async function read(file) {
  return new Uint8Array(await file.arrayBuffer());
}

/**
 * What both records of a file say: version, names in UTF-8, stored, date, checksum, sizes.
 *
 * @param {Uint8Array} name
 * @param {Uint8Array} content
 * @returns {Field[]}
 */
function describe(name, content) {
  const size = content.length;
  return [[2, 20], [2, 0x0800], [2, 0], [2, 0], [2, DATE], [4, checksum(content)], [4, size], [4, size], [2, name.length], [2, 0]];
}

/** @param {...Field} values */
function numbers(...values) {
  const view = new DataView(new ArrayBuffer(values.reduce((sum, [size]) => sum + size, 0)));
  let at = 0;
  for (const [size, value] of values) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return view;
}

/** @param {Uint8Array} content */
function checksum(content) {
  let value = 0xffffffff;
  for (const byte of content) value = (value >>> 8) ^ /** @type {number} */ (CRC[(value ^ byte) & 0xff]);
  return (value ^ 0xffffffff) >>> 0;
}
