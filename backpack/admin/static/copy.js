/** Buttons with `data-copy="id"` copy the text of the element with that id, and say so for a moment. */

const SHOWN = 1600; // ms

/** @param {HTMLElement} source */
async function copy(source) {
  const text = (source.textContent ?? "").trim();
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Without https, some browsers have no clipboard even on names under localhost: the text is
  // selected, for the keyboard.
  document.getSelection()?.selectAllChildren(source);
  throw new Error("no clipboard");
}

for (const button of document.querySelectorAll("button[data-copy]")) {
  const source = document.getElementById(button.getAttribute("data-copy") ?? "");
  const label = button.querySelector("[aria-live]");
  if (!source || !label) continue;
  const usual = label.textContent;
  button.addEventListener("click", async () => {
    label.textContent = await copy(source).then(
      () => "Copied",
      () => "Selected",
    );
    setTimeout(() => (label.textContent = usual), SHOWN);
  });
}
