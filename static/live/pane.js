// One output pane: its parts by name, what is marked in it, and what its modules tell each other. A page may hold two.
import { marked } from "./rows.js";

export class Pane {
  #prefix; // of the ids in it; "" for the pane whose marked lines are in the page's address
  #marked = [];

  constructor(root) {
    this.root = root;
    this.#prefix = root.dataset.pane;
  }

  /** Whether the page's address speaks of this pane. */
  get addressed() {
    return this.#prefix === "";
  }

  /** What the part `name` is called in the page. */
  id(name) {
    return `${this.#prefix}${name}`;
  }

  part(name) {
    return document.getElementById(this.id(name));
  }

  row(line) {
    return this.part(`L${line}`);
  }

  /** The first row in the page that was printed at `at` (unix seconds) or later, if those before it are there too. */
  rowAt(at) {
    const rows = this.part("log-rows").getElementsByClassName("ln");
    let [low, high] = [0, rows.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (Number(rows[middle].dataset.at) < at) low = middle + 1;
      else high = middle;
    }
    const whole = low > 0 || Number(rows[0]?.dataset.n) === 1;
    return (whole && rows[low]) || null;
  }

  /** What a row of `line` is called and where its number leads. */
  place(line) {
    return { id: this.id(`L${line}`), href: `${this.root.dataset.page}#L${line}` };
  }

  /** "row" (a new row, to be dressed), "lines" (there are more), "shown" (what it holds, or whether it follows, may be other), "place" (scrolled), "view" (looks other), "until" (another moment
   * is looked at), "marked". */
  on(name, listener) {
    this.root.addEventListener(`crucible:${name}`, ({ detail }) => listener(detail));
  }

  tell(name, detail = null) {
    this.root.dispatchEvent(new CustomEvent(`crucible:${name}`, { detail }));
  }

  /** [first, last] of the marked lines, or []. */
  get marked() {
    return this.addressed ? marked() : this.#marked;
  }

  mark(from, to = from) {
    this.#marked = [from, to];
    if (this.addressed) history.replaceState(null, "", `${location.pathname}${location.search}#L${from}${to > from ? `-L${to}` : ""}`);
    this.tell("marked");
  }

  unmark() {
    this.#marked = [];
    if (this.addressed && location.hash.startsWith("#L")) history.replaceState(null, "", location.pathname + location.search);
    this.tell("marked");
  }

  /** Whoever presses a number in a pane without an address means its line here, not another page. */
  onNumber(listener) {
    this.root.addEventListener("click", (event) => {
      const place = event.target.closest?.(".no");
      if (!place || event.ctrlKey || event.metaKey || (this.addressed && !event.shiftKey)) return;
      event.preventDefault();
      listener(Number(place.parentElement.dataset.n), event.shiftKey);
    });
  }
}
