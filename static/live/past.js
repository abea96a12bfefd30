// The time machine of a run's page: drag to a moment, and all of the page is as it was then. The run goes on meanwhile.
import { say } from "./chrome.js";
import { clock, duration, serverNow } from "./clock.js";

const STEP = 1; // seconds of an arrow key
const STRIDE = 10; // with Shift

export class Past {
  #root;
  #slider;
  #show; // {past(answer), now()}: false when the page of now is not known yet
  #at = null; // the moment that is shown; null: now
  #wanted = null; // the moment that is gone to next
  #busy = false;
  #live;

  constructor(root, show) {
    this.#root = root;
    this.#show = show;
    this.#live = root.dataset.live === "true";
    this.#slider = root.querySelector("#time-slider");
    this.#at = root.dataset.at ? Number(root.dataset.at) : null;
    this.#slider.addEventListener("input", () => this.#slid());
    root.querySelector("#time-back").addEventListener("click", (event) => {
      event.preventDefault();
      this.now();
    });
    document.addEventListener("keydown", (event) => this.#key(event));
    // A stop is about now: its receipt must be seen.
    document.addEventListener("submit", ({ submitter }) => submitter?.dataset.stop && this.now());
    const bar = root.parentElement.querySelector(".runbar");
    const heights = new ResizeObserver(() => {
      root.parentElement.style.setProperty("--runbar", `${bar.offsetHeight}px`);
      root.parentElement.style.setProperty("--above", `${bar.offsetHeight + root.offsetHeight}px`);
    });
    for (const part of [bar, root]) heights.observe(part);
    setInterval(() => this.#tick(), 1000);
    this.#tick();
  }

  /** Whether the page shows the past. */
  get active() {
    return this.#at !== null;
  }

  /** What the run's status says now: the bar tells it while the page shows another moment. */
  heard(panel) {
    this.#live = panel.dataset.state !== "ended";
    this.#root.querySelector("#time-state").replaceChildren(...[...panel.querySelectorAll(".mark")].slice(0, 1).map((mark) => mark.cloneNode(true)));
    if (panel.dataset.ended) this.#root.dataset.end = panel.dataset.ended;
    this.#tick();
  }

  /** The page as it was at `at`, unix seconds; from the newest moment on it is now. */
  async go(at) {
    this.#wanted = Math.max(this.#began, at);
    if (this.#busy) return; // while one answer is under way only the newest wish counts
    this.#busy = true;
    while (this.#wanted !== null) {
      const wanted = this.#wanted;
      if (wanted >= this.#end - 0.05) {
        this.now();
        break;
      }
      const answer = await this.#ask(wanted);
      if (this.#wanted === wanted) this.#wanted = null;
      else if (this.#wanted === null) break; // back to now meanwhile
      if (answer) this.#enter(wanted, answer);
    }
    this.#busy = false;
  }

  now() {
    this.#wanted = null;
    if (!this.active) return this.#tick();
    this.#at = null;
    if (!this.#show.now()) return location.assign(this.#here());
    this.#address();
    this.#tick();
    return undefined;
  }

  get #began() {
    return Number(this.#root.dataset.began);
  }

  get #end() {
    return this.#live ? Math.max(serverNow(), Number(this.#root.dataset.end)) : Number(this.#root.dataset.end);
  }

  #slid() {
    const at = this.#began + Number(this.#slider.value);
    this.#say(at >= this.#end - 0.05 ? null : at);
    this.go(at);
  }

  async #ask(at) {
    try {
      const response = await fetch(`/runs/${this.#root.dataset.of}/past?at=${at.toFixed(6)}`, { headers: { Accept: "application/json" } });
      if (!response.ok) throw new Error(`the server answered ${response.status}`);
      return await response.json();
    } catch (error) {
      say(`That moment could not be shown: ${error.message}.`);
      return null;
    }
  }

  #enter(at, answer) {
    this.#show.past(answer);
    this.#at = at;
    this.#address();
    this.#tick();
  }

  #step(by) {
    this.go((this.#wanted ?? this.#at ?? this.#end) + by);
    if (this.#wanted !== null) this.#slider.value = this.#wanted - this.#began;
  }

  #key(event) {
    const { key, target, shiftKey } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open], #stop-all[open]")) return;
    const here = target === this.#slider;
    if (!here && target.closest?.("input, textarea, select, [contenteditable]")) return;
    if (key === "Escape" && this.active) this.now();
    else if (key === "t") this.#slider.focus();
    else if ((key === "ArrowLeft" || key === "ArrowRight") && (here || (this.active && !target.closest?.(".nowrap .log-scroll")))) {
      event.preventDefault();
      this.#step((key === "ArrowLeft" ? -1 : 1) * (shiftKey ? STRIDE : STEP));
    }
  }

  #address() {
    history.replaceState(null, "", this.#here());
  }

  /** This page's address, at the moment that is shown. */
  #here() {
    const url = new URL(location.href);
    if (this.#at === null) url.searchParams.delete("at");
    else url.searchParams.set("at", this.#at.toFixed(3));
    return url;
  }

  #tick() {
    this.#slider.max = Math.max(1, this.#end - this.#began);
    if (this.#wanted === null) this.#slider.value = (this.#at ?? this.#end) - this.#began;
    this.#root.classList.toggle("is-past", this.active);
    this.#root.closest(".run").classList.toggle("of-past", this.active);
    this.#root.querySelector("#time-now").hidden = !this.active;
    this.#say(this.#wanted ?? this.#at);
  }

  #say(at) {
    const said = this.#root.querySelector("#time-said");
    const word = document.createElement("b");
    word.textContent = at === null ? (this.#live ? "Now" : "At its end") : clock(at).slice(0, 10);
    const text = at === null ? [] : ["As it was at "];
    const ago = at === null ? [] : [` · ${duration(this.#end - at)} ${this.#live ? "ago" : "before the end"}`];
    said.replaceChildren(...text, word, ...ago);
    this.#slider.setAttribute("aria-valuetext", said.textContent);
  }
}
