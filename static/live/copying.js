// Taking lines and links along: the bar over a marked line or range, and the button beside the line under the pointer.
import { say } from "./chrome.js";
import { number } from "./clock.js";

export class Copying {
  #pane;
  #button;
  #hovered = null; // the row the button belongs to

  constructor(pane) {
    this.#pane = pane;
    this.#button = pane.part("log-copy-line");
    const show = () => this.#showBar();
    addEventListener("hashchange", show);
    pane.on("marked", show);
    pane.part("log-copy-link").addEventListener("click", () => this.#copyLink());
    pane.part("log-copy-text").addEventListener("click", () => this.#copyMarked());
    this.#startButton();
    show();
  }

  /** The line under the pointer, else those that are marked. */
  here() {
    if (this.#hovered?.isConnected) copy(textOf(this.#hovered));
    else if (this.#pane.marked.length > 0) this.#copyMarked();
  }

  #showBar() {
    const [from, to] = this.#pane.marked;
    this.#pane.part("log-marked").hidden = !from;
    if (from) this.#pane.part("log-marked-text").textContent = from === to ? `Line ${number(from)}` : `Lines ${number(from)} to ${number(to)}`;
  }

  #startButton() {
    this.#pane.part("log-rows").addEventListener("pointerover", ({ target, pointerType }) => {
      const row = target.closest(".ln");
      if (row && row !== this.#hovered && pointerType === "mouse") this.#put(row);
    });
    this.#pane.root.addEventListener("pointerleave", () => this.#put(null));
    this.#pane.part("log-scroll").addEventListener("scroll", () => this.#put(null));
    this.#button.addEventListener("click", () => this.#hovered && copy(textOf(this.#hovered)));
  }

  /** One button for all rows, over the one that is pointed at. */
  #put(row) {
    this.#hovered = row;
    this.#button.hidden = !row;
    if (!row) return;
    const top = this.#pane.part("log-scroll").getBoundingClientRect().top;
    this.#button.style.top = `${Math.max(top, row.getBoundingClientRect().top) - this.#pane.root.getBoundingClientRect().top}px`;
  }

  #copyLink() {
    const [from, to] = this.#pane.marked;
    const { addressed } = this.#pane;
    copy(addressed ? location.href : new URL(`${this.#pane.place(from).href}${to > from ? `-L${to}` : ""}`, location.href).href);
  }

  async #copyMarked() {
    const [from, to] = this.#pane.marked;
    const rows = [...this.#pane.root.querySelectorAll(".ln.target")];
    const only = this.#pane.part("log-search").elements.only.checked;
    if (only || rows.length === to - from + 1) return copy(rows.map(textOf).join("\n"));
    try {
      return copy((await this.#linesOf(from, to)).join("\n"));
    } catch (error) {
      return say(`The lines could not be had: ${error.message}.`);
    }
  }

  /** What is marked and not in the page. */
  async #linesOf(from, to) {
    const texts = [];
    for (let after = from - 1; after < to; ) {
      const address = `${this.#pane.root.dataset.lines}?after=${after}&limit=${Math.min(500, to - after)}`;
      const response = await fetch(address, { headers: { Accept: "application/json" } });
      if (!response.ok) throw new Error(`the server answered ${response.status}`);
      const { lines, last } = await response.json();
      if (lines.length === 0) break;
      for (const [, , , pieces] of lines) texts.push(pieces.map(([words]) => words).join(""));
      after = last;
    }
    return texts;
  }
}

/** As it is shown: nothing in it can act on a terminal. */
const textOf = (row) => row.querySelector(".tx").textContent;

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.", 2);
  } catch {
    const area = document.createElement("textarea"); // plain http from another machine has no clipboard
    area.value = text;
    area.className = "sr";
    document.body.append(area);
    area.select();
    say(document.execCommand("copy") ? "Copied." : "Your browser does not let this page copy.", 3);
    area.remove();
  }
}
