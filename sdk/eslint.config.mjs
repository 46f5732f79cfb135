/** Rules for the SDK and for the pages' scripts; `npm run lint` starts it in the folder above. */

import js from "@eslint/js";

const shared = [
  ...["AbortController", "AbortSignal", "Blob", "Event", "EventTarget", "File", "FormData", "Response", "TextDecoder", "URL", "URLSearchParams"],
  ...["clearTimeout", "console", "fetch", "queueMicrotask", "setTimeout"],
];
const browser = ["CSS", "DOMException", "Element", "HTMLButtonElement", "HTMLElement", "HTMLFormElement", "HTMLInputElement", "IntersectionObserver", "Node", "ResizeObserver", "WebSocket", "XMLHttpRequest", "clearInterval", "createImageBitmap", "createSdk", "crypto", "document", "getComputedStyle", "getSelection", "history", "localStorage", "location", "matchMedia", "navigator", "performance", "setInterval", "window"];
const node = ["TextEncoder", "process", "setImmediate"];

/** @param {string[]} names */
const readable = (names) => Object.fromEntries(names.map((name) => [name, "readonly"]));

export default [
  { ignores: ["**/dist/", "**/node_modules/", "**/vendor/"] },
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2022, globals: readable([...shared, ...browser, ...node]) },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      complexity: ["error", 10],
      eqeqeq: "error",
      "max-lines": ["error", 350],
      "max-lines-per-function": ["error", 60],
      "no-shadow": "error",
      "no-var": "error",
      "object-shorthand": "error",
      "prefer-const": "error",
      "prefer-template": "error",
    },
  },
  { files: ["**/test/**"], rules: { "max-lines-per-function": "off" } },
];
