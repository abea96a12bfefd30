// One chart on a canvas: a curve, above it the peaks, a limit, and lines at moments that are looked at.
import { clock } from "./clock.js";

/**
 * A uPlot in `figure` without points. `range()` and `lines()` are asked at each drawing: [from, to] in unix seconds, and
 * the moments that get a line (null: none). `onZoom(range)`: someone drew a range; null: wants all.
 */
export function makePlot(figure, { sync, label, text, limit, hasPeak, range, lines, onCursor, onZoom, onMoment, onHover }) {
  const place = figure.querySelector(".plot");
  const ink = resolved(figure, "--soft");
  const trace = resolved(figure, "--ink");
  const axis = { stroke: ink, font: `11px ${getComputedStyle(figure).getPropertyValue("--sans").trim()}`, grid: { stroke: resolved(figure, "--edge"), width: 1 }, ticks: { show: false } };
  const line = { label, stroke: trace, width: 1.5, fill: resolved(figure, "--fill"), points: { show: false } };
  const top = (high) => Math.max(limit ? limit * 1.08 : 1, (high ?? 0) * 1.05);
  const plot = new uPlot(
    {
      width: place.clientWidth || 300,
      height: place.clientHeight || 96,
      legend: { show: false },
      padding: [8, 20, 0, 0],
      cursor: { sync: { key: sync }, y: false, drag: { x: true, y: false, setScale: false }, points: { size: 6 }, bind: { dblclick: () => () => onZoom(null) } },
      scales: { x: { time: true, range: () => range() }, y: { range: (_, low, high) => [0, top(high)] } },
      series: [{}, line, ...(hasPeak ? [{ label: `${label}, highest`, stroke: ink, width: 0.75, points: { show: false } }] : [])],
      axes: [
        { ...axis, size: 22, space: 64, values: (_, ticks) => ticks.map((at) => clock(at).slice(0, 8)) },
        { ...axis, size: 58, splits: (drawing) => heights(limit, drawing.scales.y.max), values: (_, ticks) => ticks.map((tick) => (tick === 0 ? "0" : text(tick))) },
      ],
      hooks: {
        draw: [
          (drawing) => {
            if (limit) across(drawing, limit, resolved(figure, "--edge-strong"));
            for (const at of lines()) if (at !== null) down(drawing, at, resolved(figure, "--accent"));
          },
        ],
        setCursor: [(drawing) => onCursor(drawing.cursor.idx)],
        setSelect: [(drawing) => selected(drawing, onZoom)],
      },
    },
    [[], [], ...(hasPeak ? [[]] : [])],
    place,
  );
  listen(plot, onMoment, onHover);
  return plot;
}

function listen(plot, onMoment, onHover) {
  let pressed = 0;
  plot.over.addEventListener("mousedown", ({ clientX }) => {
    pressed = clientX;
  });
  plot.over.addEventListener("click", ({ clientX }) => {
    const { left } = plot.cursor;
    if (Math.abs(clientX - pressed) < 4 && left >= 0) onMoment(plot.posToVal(left, "x")); // a drag zooms
  });
  plot.over.addEventListener("mousemove", () => plot.cursor.left >= 0 && onHover(plot.posToVal(plot.cursor.left, "x")));
  plot.over.addEventListener("mouseleave", () => onHover(null));
}

/** Ticks of the axis: none, half and full. Without a limit they are counts: whole, and few are not halved. */
const heights = (limit, most) => (limit ? [0, limit / 2, limit] : most > 3 ? [0, Math.round(most / 2), Math.round(most)] : [0, Math.round(most)]);

function selected(plot, onZoom) {
  const { left, width } = plot.select;
  if (width < 4) return;
  onZoom([plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]);
  plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
}

const colours = new Map(); // what was resolved, by name and by all that decides it

/**
 * The colour a custom property comes to, light or dark; a canvas cannot read `light-dark()`. Found out once: asking means
 * that the page is styled anew, with all rows that came since the last picture, for each line of each chart.
 */
function resolved(element, name) {
  const theme = document.documentElement.dataset.theme ?? "";
  const key = [name, theme, matchMedia("(prefers-color-scheme: dark)").matches, matchMedia("(prefers-contrast: more)").matches].join();
  if (!colours.has(key)) colours.set(key, asked(element, name));
  return colours.get(key);
}

function asked(element, name) {
  const probe = document.createElement("span");
  probe.hidden = true;
  element.append(probe);
  probe.style.setProperty("color", `var(${name})`);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

function across(plot, value, colour) {
  const { left, width } = plot.bbox;
  const y = plot.valToPos(value, "y", true);
  stroke(plot, colour, [5, 4], 1, [left, y], [left + width, y]);
}

function down(plot, at, colour) {
  const { left, top, width, height } = plot.bbox;
  const x = plot.valToPos(at, "x", true);
  if (x >= left && x <= left + width) stroke(plot, colour, [], 2, [x, top], [x, top + height]);
}

function stroke({ ctx }, colour, dash, width, from, to) {
  ctx.save();
  ctx.strokeStyle = colour;
  ctx.lineWidth = width * devicePixelRatio;
  ctx.setLineDash(dash.map((one) => one * devicePixelRatio));
  ctx.beginPath();
  ctx.moveTo(...from);
  ctx.lineTo(...to);
  ctx.stroke();
  ctx.restore();
}
