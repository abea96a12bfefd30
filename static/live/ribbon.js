// The whole output as a ribbon: where errors, hits and alerts are, and where the window stands. Drag or press to go there.
import { clock, number } from "./clock.js";

const WIDTH = 1000;
const RENEW = 5_000; // ms between two outlines of an output that grows
const SVG = "http://www.w3.org/2000/svg";

export class Ribbon {
  #pane;
  #root;
  #slider;
  #said;
  #url;
  #log;
  #pieces = []; // [first, last, first_at, last_at, {level: lines}]
  #alerts = new Set();
  #hits = [[], []];
  #outlined = -1; // lines at the last outline
  #due = 0;
  #going = false;

  constructor(pane, log) {
    this.#pane = pane;
    this.#root = pane.part("log-ribbon");
    this.#slider = pane.part("ribbon-place");
    this.#said = pane.part("ribbon-said");
    this.#url = pane.root.dataset.outline;
    this.#log = log;
    this.#slider.addEventListener("input", () => this.#go());
    pane.on("place", () => this.#follow());
    pane.on("lines", () => this.#grow());
    pane.on("until", () => this.#outline());
    this.#outline();
  }

  /** Lines that were found, and stretches [first, last] in which so many were that they are only counted. */
  hits(numbers, stretches = []) {
    this.#hits = [numbers, stretches];
    const parts = this.#bins(numbers).map((line) => this.#rect(line, 1, 6, 14, "hit"));
    for (const [first, last] of stretches) parts.push(this.#rect(first, last - first + 1, 6, 14, "hit"));
    this.#pane.part("ribbon-hits").replaceChildren(...parts);
  }

  alerts(numbers) {
    this.#alerts = numbers;
    const marks = this.#bins([...numbers]).map((line) => this.#rect(line, 1, 0, 20, "alert"));
    this.#pane.part("ribbon-alerts").replaceChildren(...marks);
  }

  /** The time at which a line was printed, as far as the outline tells; null without one. */
  timeOf(line) {
    const piece = this.#pieces.find(([first, last]) => first <= line && line <= last);
    if (!piece) return null;
    const [first, last, from, to] = piece;
    return last === first ? from : from + ((to - from) * (line - first)) / (last - first);
  }

  async #go() {
    this.#say();
    if (this.#going) return; // the newest place is gone to when this one is there
    this.#going = true;
    let line = 0;
    while (line !== Number(this.#slider.value)) {
      line = Number(this.#slider.value);
      if (line >= this.#log.end) await this.#log.follow();
      else await this.#log.open(line);
    }
    this.#going = false;
  }

  #follow() {
    if (this.#going || document.activeElement === this.#slider) return;
    this.#slider.value = this.#log.atEnd ? this.#log.end : this.#log.place;
    this.#say();
  }

  #say() {
    const line = Number(this.#slider.value);
    const at = this.timeOf(line);
    const step = this.#log.stepOf(line);
    this.#said.textContent = `line ${number(line)}${at ? ` · ${clock(at).slice(0, 8)}` : ""}${step ? ` · ${step}` : ""}`;
  }

  #grow() {
    const end = this.#log.end;
    this.#root.hidden = end < 2;
    this.#slider.max = end;
    if (this.#log.following) this.#slider.value = end;
    this.#say();
    if (end > this.#outlined) this.#due ||= setTimeout(() => this.#outline(), RENEW);
  }

  async #outline() {
    this.#due = 0;
    this.#outlined = this.#log.end;
    try {
      const response = await fetch(`${this.#url}?buckets=250`, { headers: { Accept: "application/json" } });
      if (!response.ok) throw new Error(`the server answered ${response.status}`);
      this.#pieces = (await response.json()).pieces;
    } catch (error) {
      console.warn("outline:", error);
    }
    const parts = document.createDocumentFragment();
    for (const [first, last, , , levels] of this.#pieces) {
      const lines = last - first + 1;
      for (const level of ["error", "warning"]) {
        if (!levels[level]) continue;
        // One error in ten thousand lines must be seen as well: never lower than a quarter.
        const high = 20 * Math.max(0.25, levels[level] / lines);
        parts.append(this.#rect(first, lines, 20 - high, high, level));
        break;
      }
    }
    this.#pane.part("ribbon-levels").replaceChildren(parts);
    this.hits(...this.#hits);
    this.alerts(this.#alerts);
    this.#grow();
    this.#follow();
  }

  /** Numbers as at most 500 places: [line, how many]. */
  #bins(numbers) {
    const bins = new Map();
    const end = Math.max(1, this.#log.end);
    for (const line of numbers) {
      const bin = Math.floor(((line - 1) * 500) / end);
      bins.set(bin, line);
    }
    return [...bins.values()];
  }

  #rect(line, lines, y, height, kind) {
    const end = Math.max(1, this.#log.end);
    const rect = document.createElementNS(SVG, "rect");
    const values = { x: ((line - 1) / end) * WIDTH, width: Math.max(2, (lines / end) * WIDTH), y, height, class: `is-${kind}` };
    for (const [name, value] of Object.entries(values)) rect.setAttribute(name, value);
    return rect;
  }
}
