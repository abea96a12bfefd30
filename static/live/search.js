// Searching the whole output on the server: hits are counted as they are found, marked, walked, and followed live.
import { number } from "./clock.js";

const GATHER = 400; // ms between two searches of new lines
const LISTED = 10_000; // hits the server lists of one search; the others are counted

export class Search {
  #pane;
  #form;
  #log;
  #ribbon;
  #url;
  #query = new URLSearchParams();
  #hits = []; // line numbers, ascending
  #known = new Set();
  #matches = 0;
  #scanned = 0;
  #whole = true; // every hit up to #scanned is listed
  #stretches = []; // [first, last] of lines whose hits are only counted
  #at = 0; // the hit that was walked to
  #abort = null;
  #busy = false;
  #begun = false; // the server takes the query: new lines may be searched for it
  #due = 0;

  constructor(pane, log, ribbon) {
    this.#pane = pane;
    this.#form = pane.part("log-search");
    this.#url = pane.root.dataset.search;
    this.#log = log;
    this.#ribbon = ribbon;
    pane.on("row", (row) => row.classList.toggle("found", this.#known.has(Number(row.dataset.n))));
    pane.on("lines", () => this.#goOn());
    pane.on("until", () => {
      if (!this.#active()) return;
      this.#forget();
      this.#run(0);
    });
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#changed()) this.start();
      else this.step(1);
    });
    for (const input of this.#form.querySelectorAll("input[type=checkbox]")) input.addEventListener("change", () => this.start());
    this.#pane.part("log-q").addEventListener("search", (event) => event.target.value || this.start());
    this.#pane.part("log-next").addEventListener("click", () => this.step(1));
    this.#pane.part("log-prev").addEventListener("click", () => this.step(-1));
    this.#pane.part("log-clear").addEventListener("click", () => this.clear());
    this.#pane.part("log-context").addEventListener("click", () => this.context());
    for (const link of this.#pane.part("log-download").querySelectorAll("a")) link.dataset.whole = link.href;
    this.#pane.part("log-download-found").addEventListener("change", () => this.#downloads());
    this.#query = this.#read();
    this.#downloads();
    this.#counts();
  }

  /** What the address asks for. The server has shown it already. */
  async begin() {
    const only = this.#form.elements.only.checked;
    if (!this.#active() || this.#pane.part("log-problem").firstElementChild) return;
    await this.#log.look(this.#query, only, null);
    this.#run(0);
  }

  focus() {
    const input = this.#pane.part("log-q");
    input.focus();
    input.select();
  }

  async start() {
    const place = this.#log.following ? null : this.#log.place;
    const before = this.#active();
    this.#query = this.#read();
    if (!before && !this.#active()) return; // a switch alone asks for nothing
    this.#downloads();
    this.#counts();
    this.#address();
    this.#forget();
    if (!(await this.#accepted())) return;
    await this.#log.look(this.#query, this.#form.elements.only.checked, this.#log.following ? null : place); // a hand may have gone to the end meanwhile
    if (this.#active()) this.#run(0);
  }

  clear() {
    for (const input of this.#form.querySelectorAll("input[type=checkbox]")) input.checked = false;
    this.#pane.part("log-q").value = "";
    this.#pane.part("log-q").blur();
    this.start();
  }

  /** To the next (1) or previous (-1) hit. */
  async step(by) {
    if (!this.#active()) return;
    const from = this.#at || (this.#log.following ? (by < 0 ? Infinity : 0) : this.#log.place);
    let next = by > 0 ? this.#hits.find((hit) => hit > from) : this.#hits.findLast((hit) => hit < from);
    if (next === undefined && by > 0 && !this.#whole) {
      await this.#list(Math.max(from, this.#hits.at(-1) ?? 0));
      next = this.#hits.find((hit) => hit > from);
    }
    next ??= by > 0 ? this.#hits[0] : this.#hits.at(-1); // round the corner
    if (next === undefined) return;
    this.#at = next;
    await this.#log.open(next, { mark: true });
    this.#show();
  }

  /** The line that was walked to, or is marked, among its neighbours. */
  async context() {
    const line = this.#pane.marked[0] ?? this.#log.place;
    this.#form.elements.only.checked = false;
    this.#address();
    await this.#log.look(this.#query, false, line);
    await this.#log.open(line, { mark: true });
    this.#show();
  }

  #active() {
    return [...this.#query.keys()].some((name) => ["q", "level", "stream"].includes(name));
  }

  #changed() {
    return String(this.#read()) !== String(this.#query);
  }

  #read() {
    const query = new URLSearchParams();
    for (const [name, value] of new FormData(this.#form)) if (value && name !== "only") query.append(name, value);
    return query;
  }

  #address() {
    if (!this.#pane.addressed) return;
    const url = new URL(location.href);
    const at = url.searchParams.get("at");
    url.search = String(this.#active() ? this.#query : "");
    if (at) url.searchParams.set("at", at);
    if (this.#active() && this.#form.elements.only.checked) url.searchParams.set("only", "1");
    history.replaceState(null, "", url);
  }

  #forget() {
    this.#abort?.abort();
    this.#busy = this.#begun = false;
    this.#hits = [];
    this.#known = new Set();
    this.#matches = this.#scanned = this.#at = 0;
    this.#whole = true;
    this.#stretches = [];
    this.#ribbon.hits([]);
    for (const row of this.#pane.root.querySelectorAll(".found")) row.classList.remove("found");
    this.#problem(null);
    this.#show();
  }

  /** A pattern that is none is explained in place; the output stays as it was. */
  async #accepted() {
    const asked = this.#query;
    try {
      const response = await fetch(`${this.#url}?${asked}&after=999999999999`, { headers: { Accept: "application/json" } });
      if (response.ok) {
        await response.body.cancel();
        return true;
      }
      const { error } = await response.json();
      if (asked === this.#query) this.#problem(error); // else another query was asked meanwhile
    } catch {
      if (asked === this.#query) this.#problem({ what: "the server did not answer", todo: "Try again." });
    }
    return false;
  }

  #problem(error) {
    const place = this.#pane.part("log-problem");
    place.replaceChildren();
    this.#pane.part("log-q").toggleAttribute("aria-invalid", Boolean(error));
    if (!error) return this.#show();
    const box = document.createElement("p");
    box.className = "problem";
    const what = document.createElement("b");
    what.textContent = error.what;
    box.append(what, ` ${error.todo ?? ""}`);
    place.append(box);
    return this.#show();
  }

  /** Search what follows line `after`, and show what is found as it is found. */
  async #run(after) {
    this.#abort?.abort();
    const abort = (this.#abort = new AbortController());
    this.#busy = this.#begun = true;
    try {
      for await (const part of this.#parts(after, abort.signal)) {
        if (abort.signal.aborted) return; // what had arrived already is of no use any more
        const hits = part.hits.filter((hit) => hit <= this.#log.until);
        this.#matches += part.found - part.hits.length + hits.length;
        const from = this.#scanned + 1;
        this.#scanned = part.scanned;
        if (part.hits.length < part.found || this.#hits.length >= LISTED) {
          this.#whole = false;
          if (part.found) this.#stretches.push([from, part.scanned]);
        } else this.#add(hits);
        this.#ribbon.hits(this.#hits, this.#stretches);
        this.#show();
      }
    } catch (error) {
      if (abort.signal.aborted) return;
      this.#problem({ what: `The search broke off: ${error.message}.`, todo: "Search again." });
    }
    if (abort.signal.aborted) return;
    this.#busy = false;
    this.#show();
    this.#goOn();
  }

  /** More hits by number, from those that were only counted. */
  async #list(after) {
    const abort = new AbortController();
    const more = [];
    for await (const part of this.#parts(after, abort.signal)) {
      more.push(...part.hits);
      if (more.length >= LISTED / 10) break;
    }
    abort.abort();
    this.#hits = more;
    this.#known = new Set(more);
  }

  async *#parts(after, signal) {
    const response = await fetch(`${this.#url}?${this.#query}&after=${after}`, { headers: { Accept: "application/json" }, signal });
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    let rest = "";
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        const part = JSON.parse(line);
        if (part.error) throw new Error(part.error.what);
        yield part;
      }
    }
  }

  #add(hits) {
    for (const hit of hits) {
      this.#hits.push(hit);
      this.#known.add(hit);
      this.#pane.row(hit)?.classList.add("found");
    }
  }

  /** New lines are searched too, a few times a second at most. */
  #goOn() {
    if (!this.#waits() || this.#scanned >= this.#log.end || this.#pane.part("log-problem").firstElementChild) return;
    this.#due ||= setTimeout(() => {
      this.#due = 0;
      if (this.#waits()) this.#run(this.#scanned);
    }, GATHER);
  }

  #waits() {
    return this.#active() && this.#begun && !this.#busy;
  }

  #downloads() {
    const found = this.#pane.part("log-download-found");
    found.disabled = !this.#active();
    for (const link of this.#pane.part("log-download").querySelectorAll("a")) {
      const url = new URL(link.dataset.whole);
      if (found.checked && this.#active()) for (const [name, value] of this.#query) url.searchParams.append(name, value);
      link.href = url;
    }
  }

  #counts() {
    const chosen = this.#pane.part("log-which").querySelectorAll("input:checked").length;
    this.#pane.part("log-which-count").textContent = chosen ? ` · ${chosen}` : "";
  }

  #show() {
    const active = this.#active();
    this.#pane.part("log-found").hidden = !active;
    this.#pane.part("log-context").hidden = !this.#form.elements.only.checked;
    // What the server would not take was not looked for: there is no count, and nowhere to walk to.
    const refused = !this.#begun && this.#pane.part("log-problem").firstElementChild !== null;
    for (const part of ["log-found-text", "log-prev", "log-next"]) this.#pane.part(part).hidden = refused;
    if (!active) return;
    const place = this.#hits.indexOf(this.#at) + 1;
    const parts = [`${number(this.#matches)} line${this.#matches === 1 ? "" : "s"}`];
    if (place) parts.unshift(`${number(place)} of`);
    if (this.#busy && this.#scanned < this.#log.end) parts.push(`· ${Math.floor((100 * this.#scanned) / this.#log.end)} % searched`);
    this.#pane.part("log-found-text").textContent = parts.join(" ");
  }
}
