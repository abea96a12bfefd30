// What the run uses, live: each kind a chart, all with one cursor. The canvas is for eyes that hover; the table beside it
// says the same in words. Points in the page are bounded: the server folds what is more, and keeps the peaks.
import { bytes, clock, duration, number } from "./clock.js";
import { makePlot } from "./plot.js";

const MOST = 1_800; // points in the page; then the whole is asked for again, folded
const POINTS = 900; // of one answer
const TABLE_ROWS = 10;

// Where in a point it is: [seq, at, cpu_mean, cpu_max, memory_bytes, pids, disk_written_bytes, network_attempts].
const KINDS = {
  cpu: { label: "CPU", place: 2, peak: 3, text: (value) => value.toFixed(2) },
  memory: { label: "Memory", place: 4, text: bytes },
  pids: { label: "Processes", place: 5, text: String },
  disk: { label: "Disk written", place: 6, text: bytes },
  network: { label: "Network attempts", place: 7, text: number },
};

export class Charts {
  #root;
  #url;
  #whole; // points over all of the run, in order
  #seconds; // that the longest of them stands for
  #zoom = null; // {range: [from, to], points, seconds} of a part that is looked at
  #until = null; // what came after this moment is not shown
  #marked = null; // the moment of the line that is marked
  #plots = new Map();
  #drawn = 0; // requestAnimationFrame handle
  #folding = false;
  #listeners;

  /** `onMoment(at)`: someone pressed on a chart at that time, unix seconds; `onHover(at)`: rests there, null: left. */
  constructor(root, { onMoment, onHover }) {
    this.#root = root;
    this.#listeners = { onMoment, onHover };
    this.#url = root.dataset.usage;
    const { points, seconds } = JSON.parse(this.#part("usage").textContent);
    this.#whole = points;
    this.#seconds = seconds;
    const sizes = new ResizeObserver((entries) => {
      for (const { target, contentRect } of entries) {
        const plot = this.#plots.get(target.parentElement.dataset.chart);
        if (plot && contentRect.width > 0) plot.setSize({ width: contentRect.width, height: target.clientHeight });
      }
    });
    for (const figure of this.#figures()) sizes.observe(figure.querySelector(".plot"));
    document.addEventListener("crucible:theme", () => this.#recolour());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#recolour());
    this.#draw();
  }

  receive(points) {
    const last = this.#whole.at(-1)?.[0] ?? 0;
    const fresh = points.filter(([seq]) => seq > last);
    if (fresh.length === 0) return;
    this.#whole.push(...fresh);
    if (this.#whole.length > MOST) this.#fold();
    this.#drawn ||= requestAnimationFrame(() => this.#draw());
  }

  /** The cursor of all charts at a moment, unix seconds; null takes it away. */
  point(at) {
    for (const plot of this.#plots.values()) {
      const inside = at !== null && at >= plot.scales.x.min && at <= plot.scales.x.max;
      plot.setCursor(inside ? { left: plot.valToPos(at, "x"), top: plot.over.clientHeight / 2 } : { left: -10, top: -10 }, true, false);
    }
  }

  /** A line through all charts at the moment of what is marked in the output; null takes it away. */
  mark(at) {
    this.#marked = at;
    for (const plot of this.#plots.values()) plot.redraw(false);
  }

  /** As it was at a moment; null: as it is. */
  showUntil(at) {
    this.#until = at;
    this.#draw();
  }

  #part(id) {
    return document.getElementById(`${this.#root.dataset.pane}${id}`);
  }

  #figures() {
    return this.#root.querySelectorAll("[data-chart]");
  }

  /** The points that are drawn: of the part that is looked at, and none later than the moment that is looked at. */
  #shown() {
    const points = this.#zoom?.points ?? this.#whole;
    return this.#until === null ? points : points.filter(([, at]) => at <= this.#until);
  }

  #range() {
    if (this.#zoom) return this.#zoom.range;
    const [first, last] = [this.#whole[0]?.[1] ?? 0, this.#whole.at(-1)?.[1] ?? 1];
    return [first, Math.max(last, first + 1)];
  }

  /** Too many points: the whole again, in fewer. What comes meanwhile is put behind. */
  async #fold() {
    if (this.#folding) return;
    this.#folding = true;
    const answer = await this.#ask({});
    this.#folding = false;
    if (!answer || answer.points.length === 0) return;
    const known = answer.points.at(-1)[0];
    this.#whole = [...answer.points, ...this.#whole.filter(([seq]) => seq > known)];
    this.#seconds = answer.seconds;
    this.#draw();
  }

  /** Only from `from` to `to`, finer if there are more points of it; null: all. */
  async #zoomTo(range) {
    if (String(range) === String(this.#zoom?.range ?? null)) return; // the other charts say the same
    const zoom = range && { range, points: null, seconds: this.#seconds };
    this.#zoom = zoom;
    this.#draw();
    if (!zoom || this.#seconds === 1) return;
    const [since, until] = range;
    const answer = await this.#ask({ since: since.toFixed(3), until: until.toFixed(3) });
    if (!answer || this.#zoom !== zoom) return;
    zoom.points = answer.points;
    zoom.seconds = answer.seconds;
    this.#draw();
  }

  async #ask(query) {
    try {
      const response = await fetch(`${this.#url}?${new URLSearchParams({ ...query, points: POINTS })}`, { headers: { Accept: "application/json" } });
      if (!response.ok) throw new Error(`the server answered ${response.status}`);
      return await response.json();
    } catch (error) {
      console.warn("usage:", error);
      return null;
    }
  }

  #draw() {
    this.#drawn = 0;
    const points = this.#shown();
    for (const figure of this.#figures()) {
      const kind = figure.dataset.chart;
      const { place, peak } = KINDS[kind];
      figure.hidden = !figure.dataset.limit && this.#whole.every((point) => (point[place] ?? null) === null);
      if (figure.hidden) continue;
      if (!this.#plots.has(kind)) this.#make(figure, kind);
      const plot = this.#plots.get(kind);
      const columns = [points.map((point) => point[1]), points.map((point) => point[place] ?? null)];
      if (peak) columns.push(points.map((point) => point[peak]));
      plot.setData(columns);
      this.#say(figure, plot.cursor.idx);
    }
    this.#grain();
    this.#table(points);
  }

  #make(figure, kind) {
    const { label, peak, text } = KINDS[kind];
    const plot = makePlot(figure, {
      sync: `usage-${this.#root.dataset.pane}`,
      label,
      text,
      limit: Number(figure.dataset.limit) || null,
      hasPeak: Boolean(peak),
      range: () => this.#range(),
      lines: () => [this.#until, this.#marked],
      onCursor: (index) => this.#say(figure, index),
      onZoom: (range) => this.#zoomTo(range),
      ...this.#listeners,
    });
    this.#plots.set(kind, plot);
  }

  /** The value under the cursor, or the newest. */
  #say(figure, index) {
    const { place, text } = KINDS[figure.dataset.chart];
    const points = this.#shown();
    const rests = index !== null && index !== undefined;
    const point = (rests && points[index]) || points.findLast((one) => (one[place] ?? null) !== null);
    const said = figure.querySelector("[data-now]");
    if (!point || (point[place] ?? null) === null) {
      said.textContent = "–";
      return;
    }
    const strong = document.createElement("b");
    strong.textContent = text(point[place]);
    said.replaceChildren(strong, rests ? ` at ${clock(point[1]).slice(0, 8)}` : "");
  }

  /** What one point stands for: nobody should take a folded curve for all there is. */
  #grain() {
    const seconds = this.#zoom?.seconds ?? this.#seconds;
    this.#part("usage-grain").textContent = seconds > 1 ? `1 point = up to ${duration(seconds)}, highest shown` : "";
  }

  #table(points) {
    const rows = points.slice(-TABLE_ROWS).reverse().map(([, at, , most, memory, pids]) => {
      const row = document.createElement("tr");
      for (const [place, text] of [clock(at), most.toFixed(2), bytes(memory), String(pids)].entries()) {
        const cell = document.createElement("td");
        if (place > 0) cell.className = "num";
        cell.textContent = text;
        row.append(cell);
      }
      return row;
    });
    this.#part("usage-rows").replaceChildren(...rows);
  }

  #recolour() {
    for (const plot of this.#plots.values()) plot.destroy();
    this.#plots.clear();
    this.#draw();
  }
}
