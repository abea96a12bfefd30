// One run on the page: its output, its charts, its status and its alerts, and what each frame about it does there.
import { say } from "./chrome.js";
import { Charts } from "./charts.js";
import { Copying } from "./copying.js";
import { goTo, goToMoment, momentLine } from "./goto.js";
import { Log } from "./log.js";
import { morph, parse } from "./morph.js";
import { Pane } from "./pane.js";
import { Past } from "./past.js";
import { Ribbon } from "./ribbon.js";
import { Search } from "./search.js";
import { reapply } from "./stop.js";
import { View } from "./view.js";

export class Watched {
  #charts;
  #past;
  #now = {}; // panel and alerts as they are now, if the page has been told
  #newest; // id of the newest alert that the page knows of; null before it was told
  #followed; // whether the output follows again after the past was looked at
  #under = null; // the row that a chart points to

  /** `root` holds all of the run: `[data-cursor]` says what the page shows already. */
  constructor(root) {
    this.root = root;
    this.run = root.dataset.run;
    this.cursor = root.dataset.cursor;
    this.#newest = root.dataset.alerted === undefined ? null : Number(root.dataset.alerted);
    this.pane = new Pane(root.querySelector(".log"));
    this.log = new Log(this.pane);
    this.view = new View(this.pane);
    this.ribbon = new Ribbon(this.pane, this.log);
    this.search = new Search(this.pane, this.log, this.ribbon);
    this.#charts = new Charts(root.querySelector(".charts"), {
      onMoment: (at) => goToMoment(at, this.pane, this.log),
      onHover: (at) => this.#pointTo(at),
    });
    this.#cite();
    this.log.begin();
    this.search.begin();
    this.copying = new Copying(this.pane);
    this.pane.part("log-go").addEventListener("submit", (event) => {
      event.preventDefault();
      goTo(this.pane.part("log-go-to").value, this.pane, this.log);
    });
    this.#shareCursor();
    this.#startPast();
  }

  /** When its agent began, unix seconds; 0 before it did. */
  get agentAt() {
    return Number(this.root.dataset.agent ?? 0);
  }

  /** The line printed at a moment, or the last one before it; null when it cannot be told. */
  async lineAt(at) {
    const row = this.pane.rowAt(at);
    if (row) return Number(row.dataset.n);
    const newest = this.pane.row(this.log.end);
    if (newest && Number(newest.dataset.at) <= at) return this.log.end;
    return momentLine(at, this.pane).catch(() => null);
  }

  lines({ lines }) {
    this.log.receive(lines);
  }

  /** It has ended, and all of its output was sent. */
  ended() {
    this.log.ended();
  }

  usage({ points }) {
    this.#charts.receive(points);
  }

  panel({ html }) {
    this.#now.panel = html;
    if (!this.#past?.active) this.#showPanel(html);
    else {
      const fresh = parse(html);
      const acts = this.root.querySelector(".runbar-act");
      reapply(morph(acts, fresh.querySelector(".runbar-act").outerHTML));
    }
    const panel = parse(html).firstElementChild;
    if (panel.dataset.agent) this.root.dataset.agent = panel.dataset.agent;
    this.#past?.heard(panel);
  }

  alerts({ html }) {
    const all = [...parse(html).querySelectorAll("[data-alert]")];
    const before = this.#newest;
    this.#newest = Math.max(before ?? 0, ...all.map(({ dataset }) => Number(dataset.alert)));
    this.#now.alerts = html;
    if (this.#past?.active) this.#announce(all, before);
    else this.#showAlerts(html, before);
  }

  #startPast() {
    const bar = this.root.querySelector(".time");
    if (!bar) return;
    if (bar.dataset.at) this.#charts.showUntil(Number(bar.dataset.at));
    this.#followed = this.pane.marked.length === 0; // as without its moment in the address
    this.#past = new Past(bar, {
      past: ({ at, line, panel, alerts }) => {
        if (!this.#past.active) this.#followed = this.log.following;
        this.#keepNow();
        this.#showPanel(panel);
        this.#showAlerts(alerts);
        this.#charts.showUntil(at);
        return this.log.showUntil(line);
      },
      now: () => {
        if (!this.#now.panel || this.#now.alerts === undefined) return false;
        this.#showPanel(this.#now.panel);
        this.#showAlerts(this.#now.alerts);
        this.#charts.showUntil(null);
        this.log.showAll(this.#followed);
        return true;
      },
    });
  }

  /** What the page showed before the stream told anything is what there is to come back to. */
  #keepNow() {
    const panel = this.root.querySelector("#panel");
    if (!panel.dataset.at) {
      this.#now.panel ??= panel.outerHTML;
      this.#now.alerts ??= this.root.querySelector(".alerts").outerHTML;
    }
  }

  #showPanel(html) {
    const panel = this.root.querySelector("#panel");
    const fresh = parse(html);
    this.log.told(fresh.firstElementChild.dataset.steps);
    if (panel) return reapply(morph(panel, html));
    // Beside another run there is less: its bar, and its stops without the question why.
    for (const chips of fresh.querySelectorAll(".chips")) chips.remove();
    for (const part of [".runbar", ".receipts"]) reapply(morph(this.root.querySelector(part), fresh.querySelector(part).outerHTML));
    return undefined;
  }

  #showAlerts(html, before = null) {
    const list = this.root.querySelector(".alerts");
    if (list) return this.#cite(morph(list, html), before);
    const fresh = parse(html).firstElementChild;
    this.#cite(fresh, before);
    return this.#count(fresh.querySelectorAll("[data-alert]").length);
  }

  #count(alerts) {
    const place = this.root.querySelector("[data-alerts-of]");
    place.hidden = alerts === 0;
    const many = document.createElement("b");
    many.textContent = alerts;
    place.querySelector("a").replaceChildren(many, ` alert${alerts === 1 ? "" : "s"}`);
  }

  /** Marks the cited lines in the output; says grave new alerts aloud. */
  #cite(list = this.root.querySelector(".alerts"), before = null) {
    if (!list) return;
    const all = [...list.querySelectorAll("[data-alert]")];
    const cited = new Set(all.map((element) => Number(element.dataset.line)).filter(Boolean));
    this.log.cite(cited, this.#announce(all, before));
    this.ribbon.alerts(cited);
  }

  /** How many came after the one with the id `before`; grave ones are said. Of null nothing is new. */
  #announce(all, before) {
    if (before === null) return 0;
    const fresh = all.filter(({ dataset }) => Number(dataset.alert) > before);
    const grave = fresh.find((element) => element.matches(".alert-high, .alert-critical"));
    if (grave) say(`Alert: ${grave.querySelector(".alert-title").textContent}`, 8);
    return fresh.length;
  }

  /** One cursor for the charts and the output: resting on one points into the other. */
  #shareCursor() {
    const { root } = this.pane;
    root.addEventListener("pointerover", ({ target }) => {
      const row = target.closest?.(".ln");
      if (row) this.#charts.point(Number(row.dataset.at));
    });
    root.addEventListener("pointerleave", () => this.#charts.point(null));
    const mark = () => {
      const [line] = this.pane.marked;
      const row = line ? this.pane.row(line) : null;
      this.#charts.mark(row ? Number(row.dataset.at) : null);
    };
    this.pane.on("marked", mark);
    mark();
  }

  /** The line printed at a moment, if it is in the page; pressing goes there if it is not. */
  #pointTo(at) {
    this.#under?.classList.remove("under-cursor");
    this.#under = at === null ? null : this.pane.rowAt(at);
    this.#under?.classList.add("under-cursor");
  }
}
