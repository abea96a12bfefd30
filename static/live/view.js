// How lines are shown: times, numbers, size, wrapping, JSON laid out. Remembered for all runs.
import { duration } from "./clock.js";

const KEY = "log-view";
const MOST_JSON = 20_000; // characters of a line that are laid out

export class View {
  #pane;
  #now = { times: "", size: "", numbers: true, wrap: true, json: false };
  #plain = new WeakMap(); // .tx -> its nodes before it was laid out

  constructor(pane) {
    this.#pane = pane;
    try {
      this.#now = { ...this.#now, ...JSON.parse(localStorage.getItem(KEY) ?? "{}") };
    } catch {
      // not remembered
    }
    pane.on("row", (row) => this.#dress(row));
    document.addEventListener("crucible:looks", ({ detail }) => detail.from !== this && this.#take(detail.now));
    for (const name of Object.keys(this.#now)) {
      const input = pane.part(`log-${name}`);
      input.addEventListener("change", () => this.#set(name, input.type === "checkbox" ? input.checked : input.value));
    }
    this.#take(this.#now);
  }

  toggle(name) {
    const input = this.#pane.part(`log-${name}`);
    input.checked = !input.checked;
    this.#set(name, input.checked);
  }

  #set(name, value) {
    this.#now[name] = value;
    try {
      localStorage.setItem(KEY, JSON.stringify(this.#now));
    } catch {
      // not remembered; it holds for this page
    }
    this.#apply();
    document.dispatchEvent(new CustomEvent("crucible:looks", { detail: { from: this, now: this.#now } })); // panes look alike
  }

  #take(now) {
    this.#now = { ...now };
    for (const [name, value] of Object.entries(now)) {
      const input = this.#pane.part(`log-${name}`);
      if (input.type === "checkbox") input.checked = value === true;
      else input.value = value;
    }
    this.#apply();
  }

  #apply() {
    const { times, size, numbers, wrap } = this.#now;
    const { root } = this.#pane;
    root.classList.toggle("nowrap", !wrap);
    root.classList.toggle("no-numbers", !numbers);
    root.dataset.times = times;
    root.dataset.size = size;
    for (const row of root.querySelectorAll(".ln")) this.#dress(row);
    this.#pane.tell("view");
  }

  #dress(row) {
    const place = row.querySelector(".no");
    if (this.#now.times === "since") place.dataset.r = `+${since(Number(row.dataset.at) - Number(this.#pane.root.dataset.began))}`;
    const text = row.querySelector(".tx");
    if (this.#now.json && !this.#plain.has(text)) this.#layOut(text);
    else if (!this.#now.json && this.#plain.has(text)) {
      text.replaceChildren(...this.#plain.get(text));
      this.#plain.delete(text);
    }
  }

  #layOut(text) {
    const line = text.textContent.trim();
    if (!/^[{[]/.test(line) || line.length > MOST_JSON) return;
    let value;
    try {
      value = JSON.parse(line);
    } catch {
      return; // no JSON, or more of it than is shown: it stays as it is
    }
    this.#plain.set(text, [...text.childNodes]);
    text.replaceChildren(JSON.stringify(value, null, 2));
  }
}

/** 3.2 -> "3.200 s", 64 -> "1 m 04 s". */
function since(seconds) {
  return Math.abs(seconds) < 60 ? `${seconds.toFixed(3)} s` : duration(seconds);
}
