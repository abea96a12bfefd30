// What came while the output stood still: lines by level, alerts, and the first error of them.
import { number } from "./clock.js";

const counted = (many, word) => `${number(many)} ${word}${many === 1 ? "" : "s"}`;

export class Missed {
  #pill;
  #button;
  #levels = {};
  lines = 0;
  alerts = 0;
  firstError = null;

  constructor(pane) {
    this.#pill = pane.part("log-pill");
    this.#button = pane.part("log-first-error");
  }

  /** Rows as they come over the wire. */
  add(rows) {
    this.lines += rows.length;
    for (const [line, , , , , level] of rows) {
      this.#levels[level] = (this.#levels[level] ?? 0) + 1;
      if (level === "error") this.firstError ??= line;
    }
  }

  forget() {
    this.lines = this.alerts = 0;
    this.#levels = {};
    this.firstError = null;
  }

  /** `attached`: the rows reach down to where it was paused. */
  show(hidden, attached) {
    this.#pill.hidden = hidden;
    this.#button.hidden = hidden || this.firstError === null;
    if (hidden) return;
    const parts = [attached ? "paused" : "older lines"];
    if (this.lines) parts.push(`${number(this.lines)} new`);
    if (this.#levels.error) parts.push(counted(this.#levels.error, "error"));
    if (this.#levels.warning) parts.push(counted(this.#levels.warning, "warning"));
    if (this.alerts) parts.push(counted(this.alerts, "alert"));
    const text = `${parts.join(" · ")} – jump to the end`;
    if (this.#pill.textContent !== text) this.#pill.textContent = text;
    this.#pill.classList.toggle("has-alerts", this.alerts > 0);
    if (this.firstError !== null) this.#button.title = `Line ${number(this.firstError)} (e)`;
  }
}
