// The output pane: a window of rows that follows the end, or stands anywhere in the output. The page stays small.
import { number } from "./clock.js";
import { Missed } from "./missed.js";
import { gap, rowOf } from "./rows.js";
import { Steps } from "./steps.js";

const MOST_ROWS = 5_000; // rows in the page; the others are a scroll away
const DROP = 500; // rows taken off at a time
const AT_ONCE = [50, 400]; // rows that go into the page between two pictures, least and most
const STUTTER = 20; // ms that writing them may take before it is fewer
const BACKLOG = 2_000; // rows that wait for their picture; more than that are nobody's to read in passing
const NO_PICTURE = 250; // ms after which rows go into the page without one: a page that is covered, or the machine busy, has none
const NEAR_END = 24; // px
const NEAR_EDGE = 600; // px from an edge of the rows at which more are asked for
const GATHER = 300; // ms between two questions for what a filter wants of new lines
const MOST_LINES = 999_999_999_999; // what an address can name
const AGAIN = 1_000; // ms after which rows that could not be loaded are asked for again

export class Log {
  #pane;
  #scroll;
  #rows;
  #missed;
  #steps;
  #from; // the rows are those of lines #from to #to that are wanted
  #to;
  #end; // the newest line there is, as far as this page has heard
  #came; // the newest line that was received: others may be known from a window
  #waiting = []; // rows received that are not in the page, the newest MOST_ROWS of them
  #cited = new Set();
  #attached; // the rows reach the end: what is new belongs below them
  #following;
  #frame = 0;
  #late = 0;
  #incoming = []; // received, and due in the next pictures
  #atOnce = AT_ONCE[0];
  #mark = []; // [from, to] of the marked lines
  #loading = null; // what is being loaded: "older", "newer", "window"
  #pulling = 0;
  #turn = 0; // of loading; an answer of an earlier turn is late
  #asked = new URLSearchParams(); // the query that each window is asked with
  #filtered = false;
  #brought = -1; // where our own scrolling ended: not a hand's
  #ended = -1; // the same of our scrolling to the end, until the browser tells of it
  #passed = []; // [first, last] of the lines that a burst brought and nobody saw here; nothing of them is above
  #absent = 0; // the marked line, if it is not there; it is opened when it comes
  #live;
  #until = Infinity; // the last line there was at the moment that is looked at: later ones are not shown

  constructor(pane) {
    this.#pane = pane;
    this.#scroll = pane.part("log-scroll");
    this.#rows = pane.part("log-rows");
    this.#missed = new Missed(pane);
    this.#steps = new Steps(pane);
    const { first, last, total, atEnd, until, live } = pane.root.dataset;
    if (until) this.#until = Number(until);
    this.#from = Number(first);
    this.#to = Number(last);
    this.#end = this.#came = Number(total);
    this.#live = live === "true";
    this.#attached = atEnd === "true";
    this.#following = this.#attached && pane.marked.length === 0 && !until;
    this.#listen();
  }

  /** Once all that marks rows is there. */
  begin() {
    const { line } = this.#pane.root.dataset;
    if (line && this.#pane.marked.length === 0) this.#pane.mark(Number(line));
    this.#goToMarked();
    if (this.#following || (this.#past && this.#pane.marked.length === 0)) this.#toEnd();
    this.#show();
  }

  /** The newest line there is, or was at the moment that is looked at. */
  get end() {
    return this.#last;
  }

  /** The last line that may be shown: of another moment; else Infinity. */
  get until() {
    return this.#until;
  }

  get following() {
    return this.#following;
  }

  /** Whether what is read is the last line there is, or was at the moment that is looked at. */
  get atEnd() {
    return this.#following || (this.#past && this.#to >= this.#last && this.#nearEnd());
  }

  /** All wanted lines up to this one are in the page, if it follows: its number, and when it was printed (0: not known). */
  get here() {
    let row = this.#rows.lastElementChild;
    while (row && !row.dataset.at) row = row.previousElementSibling;
    return { line: this.#to, at: Number(row?.dataset.at ?? 0) };
  }

  /** The line that is read now: where `open` brings a line to. */
  get place() {
    if (this.#following) return this.#last;
    const top = this.#scroll.getBoundingClientRect();
    const row = document.elementFromPoint(top.left + 20, top.top + this.#scroll.clientHeight / 3 + 4)?.closest?.(".ln, .log-gap, .log-step");
    return Number(row?.dataset.n ?? this.#from);
  }

  /** Rows as they come over the wire: [number, at, stream, [[text, look], …], complete, level]. */
  receive(rows) {
    const fresh = rows.filter(([line]) => line > this.#came); // a stream that resumed may repeat itself
    if (fresh.length === 0) return;
    this.#came = fresh.at(-1)[0];
    this.#end = Math.max(this.#end, this.#came);
    for (const row of fresh) this.#incoming.push(row);
    if (document.hidden) this.#catchUp(); // a hidden page draws no pictures, yet must not gather without bound
    else this.#draw();
  }

  /** Nothing more comes. */
  ended() {
    this.#live = false;
    this.#catchUp();
  }

  /** Lines that alerts cite, and how many alerts are new. */
  cite(lines, fresh) {
    this.#cited = lines;
    this.#remark();
    if (!this.#following) {
      this.#missed.alerts += fresh;
      this.#show();
    }
  }

  /** The steps that the panel tells of. */
  told(steps) {
    this.#steps.learn(steps);
    this.#placeSteps();
    if (this.#following) this.#toEnd();
  }

  /** The step that printed `line`. */
  stepOf(line) {
    return this.#steps.of(line);
  }

  /** To the first error of what was missed. */
  firstError() {
    if (this.#missed.firstError !== null) this.open(this.#missed.firstError, { mark: true });
  }

  /** The output as it was when `line` was its last: what came later is held back, and nothing follows it. */
  async showUntil(line) {
    this.#until = line;
    this.#sayEmpty("It had printed nothing yet.");
    this.#pause();
    this.#pane.tell("until");
    const there = this.#from <= line && line <= this.#to;
    if (there) this.#cutLater();
    else await this.#load("window", {});
    if (this.#until !== line) return;
    this.#pane.unmark();
    this.#unmark();
    this.#placeSteps();
    this.#toEnd();
    this.#show();
  }

  /** All of it again; at the end if `follow`. */
  async showAll(follow) {
    this.#until = Infinity;
    this.#sayEmpty("Nothing was printed so far.");
    this.#pane.tell("until");
    if (follow) await this.follow();
    this.#show();
  }

  /** What stands where no line is. */
  #sayEmpty(words) {
    if (!this.#filtered) this.#pane.part("log-empty").textContent = words;
  }

  get #past() {
    return this.#until !== Infinity;
  }

  get #last() {
    return Math.min(this.#end, this.#until);
  }

  #cutLater() {
    while (Number(this.#rows.lastElementChild?.dataset.n) > this.#until) this.#rows.lastElementChild.remove();
    this.#to = Math.min(this.#to, this.#until);
    this.#attached = false;
    this.#pane.part("log-empty").hidden = this.#rows.childElementCount > 0;
  }

  /** Follow the end; of the past there is nothing to follow. */
  async follow() {
    if (this.#past) return this.showUntil(this.#until);
    if (!(await this.#followEnd())) return;
    this.#absent = 0;
    this.#pane.unmark();
    this.#unmark();
    this.#show();
  }

  /** Whatever is marked stays marked. False when the end could not be had. */
  async #followEnd() {
    if (!this.#attached || this.#missed.lines > this.#waiting.length || this.#filtered) {
      if (!(await this.#load("window", {}))) return false;
    } else {
      this.#turn += 1; // a window that was asked for before is not wanted any more
      this.#loading = null;
      this.#incoming = [...this.#waiting, ...this.#incoming];
    }
    this.#waiting = [];
    this.#missed.forget();
    this.#following = true;
    this.#flush(this.#atOnce);
    this.#show(); // before its place is taken: without the pill the pane is lower
    this.#toEnd();
    return true;
  }

  /** To a line somebody named: marked, and waited for at the end if it is not there. */
  async goTo(line) {
    if (line <= this.#last) return this.open(line, { mark: true });
    this.#pane.mark(Math.min(line, MOST_LINES));
    return this.#goToMarked();
  }

  /** Show `line` with what is around it, wherever it is. */
  async open(line, { mark = false } = {}) {
    const wanted = Math.max(1, Math.min(line, this.#last || 1));
    this.#pause();
    if (mark) this.#pane.mark(wanted);
    if (!this.#pane.row(wanted) && !(await this.#load("window", { around: wanted }))) return;
    const row = this.#pane.row(wanted) ?? this.#nearest(wanted);
    if (mark) {
      this.#unmark();
      row?.classList.add("target");
      this.#pane.tell("marked");
    }
    if (row) this.#bringUp(row);
    this.#loadOn();
  }

  /** Each window is asked for with `query` from now on; `only`: lines that it does not want are left out. */
  async look(query, only, place) {
    this.#asked = query;
    this.#filtered = only && [...query.keys()].length > 0;
    const line = place ?? (this.#following ? null : this.place);
    if (line === null) {
      this.#attached = false; // what is in the page was asked for without the query
      return this.follow();
    }
    this.#rows.replaceChildren();
    return this.open(line);
  }

  /** One write to the page per picture, however many frames came. */
  #draw() {
    this.#frame ||= requestAnimationFrame(() => this.#flush(this.#atOnce));
    this.#late ||= setTimeout(() => this.#flush(AT_ONCE[1]), NO_PICTURE);
  }

  /** All that is due, without a picture. */
  #catchUp() {
    this.#flush(BACKLOG);
  }

  /** `most`: rows that may go into the page now. */
  #flush(most) {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#late);
    this.#frame = this.#late = 0;
    const begun = performance.now();
    const write = this.#following && !this.#filtered && this.#loading !== "window";
    if (write) this.#write(most);
    else this.#keep(this.#incoming.splice(0));
    this.#show();
    this.#pane.tell("lines", this.#end);
    if (write) {
      this.#toEnd(); // lays everything out: once, when all is written
      this.#pace(performance.now() - begun);
      if (this.#incoming.length > 0) this.#draw();
    }
    if (this.#absent && this.#absent <= this.#last) this.#goToMarked();
  }

  /** The next of the rows that are due. */
  #write(most) {
    if (this.#incoming.length > BACKLOG) this.#skip(this.#incoming.length - most);
    this.#append(this.#incoming.splice(0, most));
  }

  /** How many rows the next picture gets, when this one took `ms`. */
  #pace(ms) {
    const [least, most] = AT_ONCE;
    this.#atOnce = Math.round(Math.min(most, Math.max(least, this.#atOnce * (ms > STUTTER ? 0.5 : 1.5))));
  }

  /** Rows that are not for the page now. */
  #keep(come) {
    const rows = come.filter(([line]) => line > this.#to); // a window may have brought them
    if (!this.#following) this.#missed.add(rows);
    for (const row of rows) this.#waiting.push(row);
    if (this.#waiting.length > MOST_ROWS) this.#waiting.splice(0, this.#waiting.length - MOST_ROWS);
    if (this.#following && this.#filtered) this.#pull();
  }

  /** Pass over the first `rows` that wait: the page goes on with the one after them, scrolling up loads them. */
  #skip(rows) {
    this.#incoming.splice(0, rows);
    this.#rows.replaceChildren();
    const first = this.#passed[0] ?? this.#to + 1;
    this.#from = this.#incoming[0][0];
    this.#passed = [first, this.#from - 1];
    this.#to = this.#from - 1;
  }

  /** What the filter wants of the lines that are new. */
  #pull(wait = GATHER) {
    this.#pulling ||= setTimeout(async () => {
      this.#pulling = 0;
      const before = this.#to;
      const come = await this.#load("newer", { after: this.#to });
      if (!this.#following || !this.#filtered) return;
      if (come) this.#toEnd();
      if (!come) this.#pull(AGAIN);
      else if (this.#to < this.#end && this.#to > before) this.#pull();
    }, wait);
  }

  /** Rows that follow those in the page. */
  #append(rows) {
    const shown = rows.filter(([line]) => line > this.#to);
    if (shown.length === 0) return;
    const parts = document.createDocumentFragment();
    for (const row of shown) {
      if (!this.#filtered && row[0] !== this.#to + 1) parts.append(gap(this.#to + 1, row[0] - 1));
      parts.append(this.#row(row));
      this.#to = row[0];
    }
    this.#rows.append(parts);
    this.#trimTop();
    this.#placeSteps();
    this.#pane.part("log-empty").hidden = true;
  }

  #placeSteps() {
    if (this.#filtered) return this.#steps.clear();
    return this.#steps.place(this.#attached || this.#to === this.#until ? this.#to : null);
  }

  #row(row) {
    const element = rowOf(row, this.#pane.place(row[0]));
    if (this.#cited.has(row[0])) element.classList.add("cited");
    const [from, to] = this.#mark;
    if (from <= row[0] && row[0] <= to) element.classList.add("target");
    this.#pane.tell("row", element); // whoever marks or dresses rows
    return element;
  }

  /** Ask for a window. {} is the newest. True when it is in the page. */
  async #load(kind, place) {
    if (this.#loading) {
      if (kind !== "window") return false;
    }
    this.#loading = kind;
    const turn = (this.#turn += 1);
    const query = new URLSearchParams(this.#asked);
    const newest = this.#past && Object.keys(place).length === 0;
    for (const [name, value] of Object.entries(newest ? { before: this.#until + 1 } : place)) query.set(name, value);
    if (!this.#filtered) query.set("mark", "1");
    try {
      const response = await fetch(`${this.#pane.root.dataset.lines}?${query}`, { headers: { Accept: "application/json" } });
      if (!response.ok) throw new Error(`the server answered ${response.status}`);
      const answer = await response.json();
      if (turn !== this.#turn) return false; // something else was asked for meanwhile
      this.#put(kind, answer);
      this.#loading = null;
      if (kind !== "window") this.#loadOn(); // of a window nobody has yet said where in it to stand
      return true;
    } catch (error) {
      console.warn("lines:", error);
      if (turn === this.#turn && kind !== "window") setTimeout(() => this.#loadOn(), AGAIN);
      return false;
    } finally {
      if (turn === this.#turn) this.#loading = null;
      this.#show();
    }
  }

  /** Rows for an edge that is near: at the edge itself no hand can scroll any more, and nothing else would ask for them. */
  #loadOn() {
    if (this.#following) return;
    const { scrollTop, scrollHeight, clientHeight } = this.#scroll;
    if (scrollHeight - scrollTop - clientHeight < NEAR_EDGE) this.#more("newer");
    if (scrollTop < NEAR_EDGE) this.#more("older");
  }

  #put(kind, { lines, first, last, total }) {
    const rows = lines.filter(([line]) => line <= this.#until).map((row) => this.#row(row));
    this.#end = Math.max(this.#end, total);
    if (kind === "older") {
      this.#passed = [];
      const bottom = this.#scroll.scrollHeight - this.#scroll.scrollTop;
      this.#rows.prepend(...rows);
      this.#from = first;
      this.#placeSteps();
      this.#scroll.scrollTop = this.#scroll.scrollHeight - bottom; // what was read stays where it was
      this.#trimBottom();
      return;
    }
    if (kind === "window") {
      this.#passed = [];
      this.#rows.replaceChildren(...rows);
      this.#from = first;
    } else {
      this.#rows.append(...rows);
      this.#trimTop();
    }
    this.#to = Math.min(this.#until, Math.max(last, kind === "newer" ? this.#to : 0));
    this.#attached = !this.#past && this.#to >= total;
    if (this.#attached && !this.#filtered) this.#append(this.#waiting); // what came while it was asked for
    this.#placeSteps();
    this.#pane.part("log-empty").hidden = this.#rows.childElementCount > 0;
  }

  #trimTop() {
    if (this.#rows.childElementCount <= MOST_ROWS + DROP) return;
    const bottom = this.#following ? 0 : this.#scroll.scrollHeight - this.#scroll.scrollTop;
    while (this.#rows.childElementCount > MOST_ROWS) this.#rows.firstElementChild.remove();
    this.#passed = []; // where they would begin has left the page as well
    this.#from = Number(this.#rows.firstElementChild.dataset.n);
    if (!this.#following) this.#scroll.scrollTop = this.#scroll.scrollHeight - bottom;
  }

  #trimBottom() {
    if (this.#rows.childElementCount <= MOST_ROWS + DROP) return;
    while (this.#rows.childElementCount > MOST_ROWS) this.#rows.lastElementChild.remove();
    this.#to = Number([...this.#lines()].at(-1).dataset.n);
    this.#attached = false;
  }

  #listen() {
    let before = this.#scroll.scrollTop;
    let high = this.#scroll.clientHeight;
    this.#scroll.addEventListener("scroll", () => {
      const { scrollTop, scrollHeight, clientHeight } = this.#scroll;
      const left = scrollHeight - scrollTop - clientHeight;
      // Told late: somebody may have paused meanwhile. A pane of another height is moved by the browser.
      const noHand = scrollTop === this.#ended || clientHeight !== high;
      this.#ended = -1;
      high = clientHeight;
      // Only a hand scrolls up; our own scrolling goes down, and rows that leave at the top happen while following.
      if (this.#following && left >= NEAR_END && scrollTop < before - 2) this.#pause();
      else if (!noHand && this.#returned(left, scrollTop > before)) this.follow();
      if (!this.#following && scrollTop < NEAR_EDGE && scrollTop < before) this.#more("older");
      if (!this.#attached && left < NEAR_EDGE && scrollTop > before) this.#more("newer");
      before = scrollTop;
      this.#pane.tell("place");
    });
    this.#pane.part("log-pill").addEventListener("click", () => this.follow());
    this.#pane.part("log-passed").addEventListener("click", () => this.open(this.#passed[0], { mark: true }));
    this.#pane.part("log-first-error").addEventListener("click", () => this.firstError());
    this.#pane.on("marked", () => (this.#mark = this.#pane.marked));
    this.#pane.part("log-follow").addEventListener("click", () => (this.#following ? this.#pause() : this.follow()));
    for (const kind of ["older", "newer"]) {
      this.#pane.part(`log-${kind}`).addEventListener("click", (event) => {
        event.preventDefault();
        this.#pause();
        this.#more(kind);
      });
    }
    this.#pane.onNumber((line, extend) => {
      const [from] = extend ? this.#pane.marked : [];
      this.#pane.mark(Math.min(from ?? line, line), Math.max(from ?? line, line));
      this.#goToMarked();
    });
    document.addEventListener("visibilitychange", () => this.#incoming.length > 0 && this.#catchUp());
    if (this.#pane.addressed) addEventListener("hashchange", () => this.#goToMarked());
    this.#pane.on("view", () => this.#following && this.#toEnd());
    new ResizeObserver(() => this.#following && this.#toEnd()).observe(this.#scroll);
  }

  /** Whether a hand scrolled down to the end of all that is there, and is not on its way elsewhere. */
  #returned(left, down) {
    const elsewhere = this.#loading === "window" || this.#scroll.scrollTop === this.#brought;
    return !this.#following && this.#attached && left < NEAR_END && down && !elsewhere;
  }

  #more(kind) {
    if (this.#loading) return;
    if (kind === "older" && this.#from > 1) this.#load("older", { before: this.#from });
    if (kind === "newer" && !this.#attached && this.#to < this.#until) this.#load("newer", { after: this.#to });
  }

  async #goToMarked() {
    this.#unmark();
    const [from, to] = (this.#mark = this.#pane.marked);
    this.#absent = from > this.#last ? from : 0;
    if (!from) return this.#show();
    if (this.#absent) return this.#awaitMarked();
    if (!this.#pane.row(from)) await this.open(from);
    this.#pause();
    for (let line = from; line <= to; line += 1) this.#pane.row(line)?.classList.add("target");
    const row = this.#pane.row(from);
    if (row) this.#bringUp(row);
  }

  /** At the end, where it will be. */
  async #awaitMarked() {
    if (!this.#past) await this.#followEnd();
    else if (this.#to < this.#until) await this.#load("window", {});
    this.#toEnd();
    this.#show();
  }

  /** Only the pane scrolls: the page around it stays. */
  #bringUp(row) {
    this.#scroll.scrollTop += row.getBoundingClientRect().top - this.#scroll.getBoundingClientRect().top - this.#scroll.clientHeight / 3;
    this.#show(); // without the pill the pane is lower, and the browser moves it once more
    this.#brought = this.#scroll.scrollTop;
  }

  #nearest(line) {
    const lines = [...this.#lines()];
    return lines.find((row) => Number(row.dataset.n) >= line) ?? lines.at(-1);
  }

  #lines() {
    return this.#rows.querySelectorAll(".ln, .log-gap");
  }

  #remark() {
    for (const row of this.#lines()) row.classList.toggle("cited", this.#cited.has(Number(row.dataset.n)));
  }

  #unmark() {
    for (const row of this.#rows.querySelectorAll(".target")) row.classList.remove("target");
  }

  #pause() {
    this.#following = false;
    this.#absent = 0;
    this.#show();
  }

  #toEnd() {
    const before = this.#scroll.scrollTop;
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
    if (this.#scroll.scrollTop !== before) this.#ended = this.#scroll.scrollTop;
  }

  #show() {
    this.#pane.part("log-count").textContent = `${number(this.#last)} line${this.#last === 1 ? "" : "s"}`;
    this.#pane.part("log-follow").setAttribute("aria-pressed", String(this.#following));
    this.#showAbsent();
    this.#showPassed();
    this.#pane.part("log-older").hidden = !(this.#from > 1);
    this.#pane.part("log-newer").hidden = this.#attached || this.#to >= this.#until;
    const here = () => this.#attached && this.#missed.lines === 0 && this.#missed.alerts === 0 && this.#nearEnd();
    this.#missed.show(this.#past || this.#following || here(), this.#attached); // to measure is to lay out: only if it must be
    const pills = ["log-pill", "log-passed"].some((name) => !this.#pane.part(name).hidden);
    this.#scroll.classList.toggle("under-pills", pills);
    this.#pane.tell("shown");
  }

  #showPassed() {
    const button = this.#pane.part("log-passed");
    const [first, last] = this.#passed;
    button.hidden = !first;
    if (!first) return;
    const text = `${number(last - first + 1)} lines passed over – read them`;
    if (button.textContent !== text) button.textContent = text;
  }

  #showAbsent() {
    this.#pane.part("log-absent").hidden = !this.#absent;
    if (!this.#absent) return;
    const line = this.#pane.part("log-absent-line"); // said when it changes, not with each line that comes
    const text = `There is no line ${number(this.#absent)}`;
    if (line.textContent !== text) line.textContent = text;
    const none = this.#live ? ": nothing is printed yet." : ": nothing was printed.";
    const newest = this.#last ? `; the newest is ${number(this.#last)}.` : none;
    const comes = this.#live && !this.#past ? " It is opened here when it comes." : "";
    this.#pane.part("log-absent-newest").textContent = newest + comes;
  }

  #nearEnd() {
    return this.#scroll.scrollHeight - this.#scroll.scrollTop - this.#scroll.clientHeight < NEAR_END;
  }
}
