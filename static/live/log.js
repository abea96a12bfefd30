// The output pane. Rows are data from an adversary: they become text nodes with class names from a fixed list, never HTML.
import { clock, number } from "./clock.js";

const MOST_ROWS = 5_000; // rows in the page; older ones are a press away
const DROP = 500; // rows taken off at a time
const NEAR_END = 24; // px

export class Log {
  #root = document.getElementById("log");
  #scroll = document.getElementById("log-scroll");
  #rows = document.getElementById("log-rows");
  #pill = document.getElementById("log-pill");
  #run;
  #first; // number of the first row in the page
  #last; // number of the last row received, in the page or waiting
  #waiting = []; // rows received while paused, the newest MOST_ROWS of them
  #held = 0; // how many were received while paused
  #alerts = 0; // alerts raised while paused
  #cited = new Set();
  #following;
  #attached; // false on a page that shows an older window: new rows do not belong under it
  #frame = 0;
  #incoming = [];
  #loading = false;

  constructor(run) {
    this.#run = run;
    this.#first = Number(this.#rows.firstElementChild?.dataset.n ?? 0);
    this.#last = Number(this.#rows.lastElementChild?.dataset.n ?? 0);
    this.#attached = this.#root.dataset.atEnd === "true";
    this.#following = this.#attached && !location.hash.startsWith("#L");
    this.#restore();
    this.#listen();
    this.#goToHash();
    if (this.#following) this.#toEnd();
    this.#show();
  }

  /** Rows as they come over the wire: [number, at, stream, [[text, look], …], complete]. */
  receive(rows) {
    const fresh = rows.filter(([line]) => line > this.#last); // a stream that resumed may repeat itself
    if (fresh.length === 0) return;
    this.#last = fresh.at(-1)[0];
    this.#incoming.push(...fresh);
    // One write to the page per picture, however many frames came.
    this.#frame ||= requestAnimationFrame(() => this.#flush());
    if (document.hidden) this.#flush(); // a hidden page draws no pictures, yet must not gather without bound
  }

  /** Lines that alerts cite, and how many alerts are new. */
  cite(lines, fresh) {
    this.#cited = lines;
    for (const row of this.#rows.children) row.classList.toggle("cited", lines.has(Number(row.dataset.n)));
    if (!this.#following) {
      this.#alerts += fresh;
      this.#show();
    }
  }

  follow() {
    if (!this.#attached) {
      location.assign(location.pathname);
      return;
    }
    this.#following = true;
    if (this.#held > this.#waiting.length) this.#rows.replaceChildren(); // what was left out is loaded by "older"
    this.#append(this.#waiting);
    this.#waiting = [];
    this.#held = 0;
    this.#alerts = 0;
    this.#unmark();
    this.#toEnd();
    this.#show();
  }

  toggle(what) {
    const button = document.getElementById(`log-${what}`);
    const on = button.getAttribute("aria-pressed") !== "true";
    this.#set(what, on);
    remember(`log-${what}`, on);
    if (this.#following) this.#toEnd();
  }

  #flush() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const rows = this.#incoming;
    this.#incoming = [];
    if (this.#following) {
      this.#append(rows);
      this.#toEnd();
    } else {
      this.#held += rows.length;
      this.#waiting.push(...rows);
      if (this.#waiting.length > MOST_ROWS) this.#waiting.splice(0, this.#waiting.length - MOST_ROWS);
    }
    this.#show();
  }

  #append(rows) {
    if (rows.length === 0) return;
    const shown = rows.slice(-MOST_ROWS);
    if (shown.length === MOST_ROWS) this.#rows.replaceChildren();
    const parts = document.createDocumentFragment();
    let before = Number(this.#rows.lastElementChild?.dataset.n ?? shown[0][0] - 1);
    for (const row of shown) {
      if (row[0] !== before + 1) parts.append(gap(before + 1, row[0] - 1));
      parts.append(this.#row(row));
      before = row[0];
    }
    this.#rows.append(parts);
    while (this.#rows.childElementCount > MOST_ROWS + DROP) {
      for (let count = 0; count < DROP; count += 1) this.#rows.firstElementChild.remove();
    }
    this.#first = Number(this.#rows.firstElementChild.dataset.n);
    document.getElementById("log-empty").hidden = true;
  }

  #row([line, at, stream, segments, complete]) {
    const row = document.createElement("div");
    row.className = `ln${stream === 2 ? " err" : ""}${complete ? "" : " cont"}${this.#cited.has(line) ? " cited" : ""}`;
    row.id = `L${line}`;
    row.dataset.n = line;
    const place = document.createElement("a");
    place.className = "no";
    place.href = `#L${line}`;
    place.title = clock(at);
    place.dataset.t = place.title;
    place.textContent = line;
    const text = document.createElement("span");
    text.className = "tx";
    for (const [words, look] of segments) {
      if (!look) {
        text.append(words);
        continue;
      }
      const piece = document.createElement("span");
      piece.className = /^[a-z0-9 -]+$/.test(look) ? look : "esc";
      piece.textContent = words;
      text.append(piece);
    }
    row.append(place, text);
    return row;
  }

  async #older() {
    if (this.#loading || this.#first <= 1) return;
    this.#loading = true;
    try {
      const response = await fetch(`${this.#root.dataset.olderData}?before=${this.#first}&limit=500`, {
        headers: { Accept: "application/json" },
      });
      if (!response.ok) throw new Error(`the server answered ${response.status}`);
      const { lines } = await response.json();
      this.#pause();
      const bottom = this.#scroll.scrollHeight - this.#scroll.scrollTop;
      this.#rows.prepend(...lines.map((row) => this.#row(row)));
      this.#first = lines[0]?.[0] ?? 1;
      this.#scroll.scrollTop = this.#scroll.scrollHeight - bottom; // what was read stays where it was
    } catch (error) {
      console.error("older lines:", error);
      location.assign(`${location.pathname}?line=${this.#first}`); // the way without scripts
    } finally {
      this.#loading = false;
      this.#show();
    }
  }

  #listen() {
    let before = this.#scroll.scrollTop;
    this.#scroll.addEventListener("scroll", () => {
      const atEnd = this.#scroll.scrollHeight - this.#scroll.scrollTop - this.#scroll.clientHeight < NEAR_END;
      // Only a hand scrolls up; our own scrolling goes down, and rows that leave at the top happen while following.
      if (this.#following && !atEnd && this.#scroll.scrollTop < before - 2) this.#pause();
      else if (!this.#following && this.#attached && atEnd && this.#scroll.scrollTop > before) this.follow();
      before = this.#scroll.scrollTop;
    });
    this.#pill.addEventListener("click", () => this.follow());
    document.getElementById("log-follow").addEventListener("click", () => (this.#following ? this.#pause() : this.follow()));
    document.getElementById("log-wrap").addEventListener("click", () => this.toggle("wrap"));
    document.getElementById("log-times").addEventListener("click", () => this.toggle("times"));
    document.getElementById("log-older").addEventListener("click", (event) => {
      event.preventDefault();
      this.#older();
    });
    this.#rows.addEventListener("click", (event) => {
      const place = event.target.closest(".no");
      if (!place || !event.shiftKey) return;
      event.preventDefault(); // shift-click extends the marked range
      const [from] = marked();
      const to = Number(place.parentElement.dataset.n);
      location.hash = from ? `#L${Math.min(from, to)}-L${Math.max(from, to)}` : `#L${to}`;
    });
    addEventListener("hashchange", () => this.#goToHash());
    new ResizeObserver(() => this.#following && this.#toEnd()).observe(this.#scroll);
  }

  #goToHash() {
    this.#unmark();
    const [from, to] = marked();
    if (!from) return;
    const row = document.getElementById(`L${from}`);
    if (!row) {
      // Not in this page: ask the server for the window around it, unless it was already asked.
      const asked = new URLSearchParams(location.search).get("line");
      if (asked !== String(from) && from <= Math.max(this.#last, from)) location.replace(`${location.pathname}?line=${from}${location.hash}`);
      return;
    }
    this.#pause();
    for (let line = from; line <= to; line += 1) document.getElementById(`L${line}`)?.classList.add("target");
    // Only the pane scrolls: the page around it stays.
    this.#scroll.scrollTop += row.getBoundingClientRect().top - this.#scroll.getBoundingClientRect().top - this.#scroll.clientHeight / 3;
  }

  #unmark() {
    for (const row of this.#rows.querySelectorAll(".target")) row.classList.remove("target");
  }

  #pause() {
    this.#following = false;
    this.#show();
  }

  #toEnd() {
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
  }

  #show() {
    document.getElementById("log-count").textContent = `${number(this.#last)} line${this.#last === 1 ? "" : "s"}`;
    document.getElementById("log-follow").setAttribute("aria-pressed", String(this.#following));
    document.getElementById("log-older").hidden = !(this.#first > 1);
    this.#pill.hidden = this.#following || (this.#attached && this.#held === 0 && this.#alerts === 0 && this.#nearEnd());
    const parts = [this.#attached ? "paused" : "older lines"];
    if (this.#held) parts.push(`${number(this.#held)} new`);
    if (this.#alerts) parts.push(`${this.#alerts} alert${this.#alerts === 1 ? "" : "s"}`);
    const text = `${parts.join(" · ")} – jump to the end`;
    if (this.#pill.textContent !== text) this.#pill.textContent = text;
    this.#pill.classList.toggle("has-alerts", this.#alerts > 0);
  }

  #nearEnd() {
    return this.#scroll.scrollHeight - this.#scroll.scrollTop - this.#scroll.clientHeight < NEAR_END;
  }

  #restore() {
    this.#set("wrap", recall("log-wrap") ?? true);
    this.#set("times", recall("log-times") ?? false);
  }

  #set(what, on) {
    document.getElementById(`log-${what}`).setAttribute("aria-pressed", String(on));
    this.#root.classList.toggle(what === "wrap" ? "nowrap" : what, what === "wrap" ? !on : on);
  }
}

/** "#L10-L20" -> [10, 20], "#L10" -> [10, 10], else []. At most 1,000 lines are marked. */
function marked() {
  const match = /^#L(\d{1,12})(?:-L?(\d{1,12}))?$/.exec(location.hash);
  if (!match) return [];
  const from = Number(match[1]);
  return [from, Math.min(from + 999, Math.max(from, Number(match[2] ?? from)))];
}

/** Numbers are dense: a hole is our loss and is shown as one. */
function gap(from, to) {
  const element = document.createElement("div");
  element.className = "log-gap";
  element.dataset.n = to;
  element.textContent = `Lines ${number(from)} to ${number(to)} did not arrive here: reload the page to see them.`;
  return element;
}

function remember(key, on) {
  try {
    localStorage.setItem(key, on ? "1" : "0");
  } catch {
    // not remembered
  }
}

function recall(key) {
  try {
    const value = localStorage.getItem(key);
    return value === null ? null : value === "1";
  } catch {
    return null;
  }
}
