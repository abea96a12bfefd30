// "Printed = stored = here": what the keeper says it printed, what the store has, and how far the output in this page is.
import { bytes, number, serverNow } from "./clock.js";

const LATE = 1; // seconds behind from which a page says so
const KEEPS_UP = 1_500; // ms within which what was printed is stored and here: that is no delay, that is the way
const MOST = 64; // accounts that are remembered

export class Tally {
  #run;
  #log;
  #known = null; // the server's last account
  #came; // the newest line that was received, and when it was printed
  #told = []; // accounts and when they came, oldest first, as long as not all of one is stored and here
  #missing = 0; // lines between others that did not arrive

  /** @param last number of the newest line the page began with; 0 without any */
  constructor(run, last, pane, log) {
    this.#run = run;
    this.#log = log;
    this.#came = { line: last, at: log.here.at };
    pane.on("shown", () => this.#show());
  }

  get #element() {
    return document.querySelector(`#panel[data-run="${this.#run}"] #tally`);
  }

  lines(rows) {
    for (const [line, at] of rows) {
      if (line <= this.#came.line) continue;
      this.#missing += line - this.#came.line - 1;
      this.#came = { line, at };
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

  /** What is in the page while its output follows; else what has come to it, and is shown when a hand goes there. */
  get #here() {
    return this.#log.following ? this.#log.here : this.#came;
  }

  /** Lines that are stored: what came was stored before it was sent, and the account may be a second older. */
  get #lines() {
    return Math.max(this.#known.lines, this.#came.line);
  }

  /** Seconds between the newest line printed and the newest one here; 0 when all is here. */
  get behind() {
    const here = this.#here;
    if (!this.#known || here.line >= this.#lines) return 0;
    const newest = this.#known.newest || serverNow();
    return here.at ? Math.max(0, newest - here.at) : 0;
  }

  #show() {
    const known = this.#known;
    const element = this.#element;
    if (!known || !element) return;
    const { printed, stored, lost } = known;
    const [lines, here, follows] = [this.#lines, this.#here, this.#log.following];
    const waiting = printed === null ? 0 : Math.max(0, printed - stored - lost);
    const late = Math.max(0, lines - here.line);
    this.#say("printed", printed === null ? "not counted" : `${number(printed)} B`);
    this.#say("stored", `${number(stored)} B, ${number(lines)} line${lines === 1 ? "" : "s"}`);
    this.#say("here", `line ${number(here.line)}${follows ? "" : " has come"}${this.#missing ? `, ${number(this.#missing)} did not arrive` : ""}`);
    const behind = this.behind;
    while (this.#told.length > 0 && (this.#told[0].printed ?? 0) <= stored + lost && this.#told[0].lines <= here.line) this.#told.shift();
    const keepsUp = this.#told.length === 0 || performance.now() - this.#told[0].came < KEEPS_UP;
    const words = [
      lost ? `${number(lost)} B lost` : "",
      this.#missing ? `${number(this.#missing)} lines are missing here; load the page again` : "",
      (waiting || late) && keepsUp ? "Keeps up; the newest is on its way" : "",
      waiting && !keepsUp ? `${waiting < 1024 ? `${number(waiting)} B` : bytes(waiting)} on their way to the store` : "",
      late && !keepsUp ? `${number(late)} line${late === 1 ? "" : "s"} on their way here${behind >= LATE ? `, behind by ${behind.toFixed(1)} s` : ""}` : "",
    ].filter(Boolean);
    const all = `All that was printed is stored and ${follows ? "here" : "has come; the output stands still"}`;
    this.#say("sum", words.join("; ") || (printed === null ? "Nothing is known to be lost" : all));
    const state = lost || this.#missing ? "lost" : waiting || late ? (keepsUp ? "moving" : "apart") : printed === null ? "unknown" : "even";
    if (element.dataset.state !== state) element.dataset.state = state;
  }

  #say(part, text) {
    const place = this.#element.querySelector(`[data-tally="${part}"]`);
    if (place && place.textContent !== text) place.textContent = text;
  }
}
