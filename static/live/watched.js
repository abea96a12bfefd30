// One run on the page: its output, its charts, its status and its alerts, and what each frame about it does there.
import { say } from "./chrome.js";
import { Charts } from "./charts.js";
import { goTo, goToMoment, startMarked } from "./goto.js";
import { Log } from "./log.js";
import { morph } from "./morph.js";
import { Pane } from "./pane.js";
import { Ribbon } from "./ribbon.js";
import { Search } from "./search.js";
import { reapply } from "./stop.js";
import { View } from "./view.js";

export class Watched {
  #root;
  #charts;

  /** `root` holds all of the run: `[data-cursor]` says what the page shows already. */
  constructor(root) {
    this.#root = root;
    this.run = root.dataset.run;
    this.cursor = root.dataset.cursor;
    this.pane = new Pane(root.querySelector(".log"));
    this.log = new Log(this.pane);
    this.view = new View(this.pane);
    this.ribbon = new Ribbon(this.pane, this.log);
    this.search = new Search(this.pane, this.log, this.ribbon);
    const charts = root.querySelector(".charts");
    this.#charts = charts && new Charts(charts, (at) => goToMoment(at, this.pane, this.log));
    this.#cite();
    this.log.begin();
    this.search.begin();
    startMarked(this.pane);
    this.pane.part("log-go").addEventListener("submit", (event) => {
      event.preventDefault();
      goTo(this.pane.part("log-go-to").value, this.pane, this.log);
    });
  }

  lines({ lines }) {
    this.log.receive(lines);
  }

  usage({ points }) {
    this.#charts?.receive(points);
  }

  panel({ html }) {
    const panel = document.getElementById("panel");
    if (panel) reapply(morph(panel, html));
  }

  alerts({ html }) {
    const list = document.getElementById("alerts");
    if (!list) return;
    const before = new Set([...list.querySelectorAll("[data-alert]")].map((element) => element.dataset.alert));
    this.#cite(morph(list, html), before);
  }

  /** Marks the cited lines in the output; says grave new alerts aloud. */
  #cite(list = document.getElementById("alerts"), before = null) {
    if (!list) return;
    const all = [...list.querySelectorAll("[data-alert]")];
    const fresh = before === null ? [] : all.filter((element) => !before.has(element.dataset.alert));
    const cited = new Set(all.map((element) => Number(element.dataset.line)).filter(Boolean));
    this.log.cite(cited, fresh.length);
    this.ribbon.alerts(cited);
    const grave = fresh.find((element) => element.matches(".alert-high, .alert-critical"));
    if (grave) say(`Alert: ${grave.querySelector(".alert-title").textContent}`, 8);
  }
}
