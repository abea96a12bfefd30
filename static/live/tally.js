// "Printed = stored = here": what the keeper says it printed, what the store has, and how far this page is.
import { bytes, number, serverNow } from "./clock.js";

const LATE = 1; // seconds behind from which a page says so
const KEEPS_UP = 1_500; // ms within which what was printed is stored and here: that is no delay, that is the way
const MOST = 64; // accounts that are remembered

export class Tally {
  #run;
  #known = null; // the server's last account
  #here = 0; // number of the newest line that has arrived
  #at = 0; // when it was printed
  #told = []; // accounts and when they came, oldest first, as long as not all of one is stored and here
  #missing = 0; // lines between others that did not arrive

  /** @param last number of the newest line the page began with; 0 without any */
  constructor(run, last) {
    this.#run = run;
    this.#here = last;
    this.#at = Number([...document.querySelectorAll(`[data-cursor][data-run="${run}"] .ln`)].at(-1)?.dataset.at ?? 0);
  }

  get #element() {
    return document.querySelector(`#panel[data-run="${this.#run}"] #tally`);
  }

  lines(rows) {
    for (const [line, at] of rows) {
      if (line <= this.#here) continue;
      this.#missing += line - this.#here - 1;
      this.#here = line;
      this.#at = at;
    }
    this.#show();
  }

  account(known) {
    this.#known = known;
    this.#told.push({ ...known, came: performance.now() });
    if (this.#told.length > MOST) this.#told.shift();
    this.#show();
    setTimeout(() => this.#show(), KEEPS_UP + 100);
  }

  /** Seconds between the newest line printed and the newest one here; 0 when all is here. */
  get behind() {
    const known = this.#known;
    if (!known || this.#here >= known.lines) return 0;
    const newest = known.newest || serverNow();
    return this.#at ? Math.max(0, newest - this.#at) : 0;
  }

  #show() {
    const known = this.#known;
    const element = this.#element;
    if (!known || !element) return;
    const { printed, stored, lines, lost } = known;
    const waiting = printed === null ? 0 : Math.max(0, printed - stored - lost);
    const late = Math.max(0, lines - this.#here);
    this.#say("printed", printed === null ? "not counted" : `${number(printed)} B`);
    this.#say("stored", `${number(stored)} B, ${number(lines)} line${lines === 1 ? "" : "s"}`);
    this.#say("here", `line ${number(this.#here)}${this.#missing ? `, ${number(this.#missing)} did not arrive` : ""}`);
    const behind = this.behind;
    while (this.#told.length > 0 && (this.#told[0].printed ?? 0) <= stored + lost && this.#told[0].lines <= this.#here) this.#told.shift();
    const keepsUp = this.#told.length === 0 || performance.now() - this.#told[0].came < KEEPS_UP;
    const words = [
      lost ? `${number(lost)} B lost` : "",
      this.#missing ? `${number(this.#missing)} lines are missing here; load the page again` : "",
      (waiting || late) && keepsUp ? "Keeps up; the newest is on its way" : "",
      waiting && !keepsUp ? `${waiting < 1024 ? `${number(waiting)} B` : bytes(waiting)} on their way to the store` : "",
      late && !keepsUp ? `${number(late)} line${late === 1 ? "" : "s"} on their way here${behind >= LATE ? `, behind by ${behind.toFixed(1)} s` : ""}` : "",
    ].filter(Boolean);
    this.#say("sum", words.join("; ") || (printed === null ? "Nothing is known to be lost" : "All that was printed is stored and here"));
    const state = lost || this.#missing ? "lost" : waiting || late ? (keepsUp ? "moving" : "apart") : printed === null ? "unknown" : "even";
    if (element.dataset.state !== state) element.dataset.state = state;
  }

  #say(part, text) {
    const place = this.#element.querySelector(`[data-tally="${part}"]`);
    if (place && place.textContent !== text) place.textContent = text;
  }
}
