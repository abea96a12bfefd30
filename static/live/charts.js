// CPU and memory of the run, live. The canvas is for eyes that hover; the table beside it says the same in words.
import { bytes, clock } from "./clock.js";

const KEPT = 4_000; // points in the page: a bit more than an hour
const TABLE_ROWS = 10;

const SERIES = {
  cpu: { label: "CPU", unit: (value) => value.toFixed(2), read: (point) => point[2] },
  memory: { label: "Memory", unit: bytes, read: (point) => point[4] },
};

export class Charts {
  #points = []; // [seq, at, cpu_mean, cpu_max, memory_bytes, pids, disk_written_bytes, network_attempts]
  #plots = new Map();
  #limits;
  #drawn = 0; // requestAnimationFrame handle

  #onMoment;

  /** `onMoment(at)`: someone pressed on the chart at that time, unix seconds. */
  constructor(root, onMoment) {
    this.#onMoment = onMoment;
    this.#limits = { cpu: Number(root.dataset.cpus), memory: Number(root.dataset.memoryLimit) };
    this.#points = JSON.parse(document.getElementById("usage").textContent);
    const sizes = new ResizeObserver((entries) => {
      for (const { target, contentRect } of entries) {
        const plot = this.#plots.get(target.parentElement.dataset.chart);
        if (plot && contentRect.width > 0) plot.setSize({ width: contentRect.width, height: target.clientHeight });
      }
    });
    for (const figure of root.querySelectorAll("[data-chart]")) {
      this.#make(figure);
      sizes.observe(figure.querySelector(".plot"));
    }
    document.addEventListener("crucible:theme", () => this.#recolour(root));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#recolour(root));
    this.#draw();
  }

  receive(points) {
    const last = this.#points.at(-1)?.[0] ?? 0;
    const fresh = points.filter(([seq]) => seq > last);
    if (fresh.length === 0) return;
    this.#points.push(...fresh);
    if (this.#points.length > KEPT) this.#points.splice(0, this.#points.length - KEPT);
    this.#drawn ||= requestAnimationFrame(() => this.#draw());
  }

  #make(figure) {
    const kind = figure.dataset.chart;
    const place = figure.querySelector(".plot");
    const colour = (name) => getComputedStyle(figure).getPropertyValue(name).trim();
    const ink = resolved(figure, "--soft");
    const trace = resolved(figure, "--ink");
    const grid = resolved(figure, "--edge");
    const limit = this.#limits[kind];
    const { label, unit } = SERIES[kind];
    const axis = { stroke: ink, font: `11px ${colour("--sans")}`, grid: { stroke: grid, width: 1 }, ticks: { show: false } };
    const plot = new uPlot(
      {
        width: place.clientWidth || 300,
        height: place.clientHeight || 128,
        legend: { show: false },
        padding: [8, 8, 0, 0],
        cursor: { sync: { key: "usage" }, y: false, drag: { x: true, y: false }, points: { size: 6 } },
        scales: { x: { time: true }, y: { range: (_, low, high) => [0, Math.max(limit * 1.08, high * 1.05)] } },
        series: [{}, { label, stroke: trace, width: 1.5, fill: resolved(figure, "--fill"), points: { show: false } }],
        axes: [
          { ...axis, size: 22, space: 64, values: (_, ticks) => ticks.map((at) => clock(at).slice(0, 8)) },
          { ...axis, size: 58, splits: () => [0, limit / 2, limit], values: (_, ticks) => ticks.map((tick) => (tick === 0 ? "0" : unit(tick))) },
        ],
        hooks: {
          draw: [(drawing) => drawLimit(drawing, limit, resolved(figure, "--edge-strong"))],
          setCursor: [(drawing) => this.#say(figure, kind, drawing.cursor.idx)],
        },
      },
      this.#data(kind),
      place,
    );
    this.#plots.set(kind, plot);
    let pressed = 0;
    plot.over.addEventListener("mousedown", ({ clientX }) => {
      pressed = clientX;
    });
    plot.over.addEventListener("click", ({ clientX }) => {
      const { left } = plot.cursor;
      if (Math.abs(clientX - pressed) < 4 && left >= 0) this.#onMoment(plot.posToVal(left, "x")); // a drag zooms
    });
  }

  #data(kind) {
    return [this.#points.map((point) => point[1]), this.#points.map(SERIES[kind].read)];
  }

  #draw() {
    this.#drawn = 0;
    for (const [kind, plot] of this.#plots) {
      // A range that someone zoomed to stays; the double click of uPlot gives the whole back.
      const { min, max } = plot.scales.x;
      const before = plot.data[0];
      const zoomed = typeof min === "number" && before.length > 1 && (min > before[0] || max < before.at(-1));
      plot.setData(this.#data(kind), !zoomed);
      this.#say(plot.root.closest("figure"), kind, plot.cursor.idx);
    }
    this.#table();
  }

  /** The value under the cursor, or the newest. */
  #say(figure, kind, index) {
    const point = this.#points[index ?? -1] ?? this.#points.at(-1);
    if (!point) return;
    const place = figure.querySelector("[data-now]");
    const strong = document.createElement("b");
    strong.textContent = SERIES[kind].unit(SERIES[kind].read(point));
    place.replaceChildren(strong, index === null || index === undefined ? "" : ` at ${clock(point[1]).slice(0, 8)}`);
  }

  #table() {
    const rows = this.#points.slice(-TABLE_ROWS).reverse().map(([, at, , most, memory, pids]) => {
      const row = document.createElement("tr");
      for (const [place, text] of [clock(at), most.toFixed(2), bytes(memory), String(pids)].entries()) {
        const cell = document.createElement("td");
        if (place > 0) cell.className = "num";
        cell.textContent = text;
        row.append(cell);
      }
      return row;
    });
    document.getElementById("usage-rows").replaceChildren(...rows);
  }

  #recolour(root) {
    for (const plot of this.#plots.values()) plot.destroy();
    this.#plots.clear();
    for (const figure of root.querySelectorAll("[data-chart]")) this.#make(figure);
  }
}

/** The colour a custom property comes to here, light or dark; a canvas cannot read `light-dark()`. */
function resolved(element, name) {
  const probe = document.createElement("span");
  probe.hidden = true;
  element.append(probe);
  probe.style.setProperty("color", `var(${name})`);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

function drawLimit(plot, limit, colour) {
  const { ctx, bbox } = plot;
  const y = plot.valToPos(limit, "y", true);
  ctx.save();
  ctx.strokeStyle = colour;
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.restore();
}
