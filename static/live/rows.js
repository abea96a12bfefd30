// Rows of output. They are data from an adversary: text nodes with class names from a fixed list, never HTML.
import { clock, number } from "./clock.js";

/** One row of [number, at, stream, [[text, look], …], complete, level], called `id`, whose number leads to `href`. */
export function rowOf([line, at, stream, segments, complete, level], { id, href }) {
  const row = document.createElement("div");
  row.className = `ln lv-${/^[a-z]+$/.test(level) ? level : "none"}${stream === 2 ? " err" : ""}${complete ? "" : " cont"}`;
  row.id = id;
  row.dataset.n = line;
  row.dataset.at = at;
  const place = document.createElement("a");
  place.className = "no";
  place.href = href;
  place.tabIndex = -1; // thousands of stops between one button and the next; l leads to a line, Copy link to its address
  place.title = clock(at);
  place.dataset.t = place.title;
  place.textContent = line;
  const text = document.createElement("span");
  text.className = "tx";
  for (const [words, look] of segments) {
    if (!look) {
      text.append(words);
      continue;
    }
    const piece = document.createElement("span");
    piece.className = /^[a-z0-9 -]+$/.test(look) ? look : "esc";
    piece.textContent = words;
    text.append(piece);
  }
  row.append(place, text);
  return row;
}

/** Numbers are dense: a hole is our loss and is shown as one. */
export function gap(from, to) {
  const element = document.createElement("div");
  element.className = "log-gap";
  element.dataset.n = to;
  element.textContent = `Lines ${number(from)} to ${number(to)} did not arrive here: reload the page to see them.`;
  return element;
}

/** "#L10-L20" -> [10, 20], "#L10" -> [10, 10], else []. At most 1,000 lines are marked. */
export function marked() {
  const match = /^#L(\d{1,12})(?:-L?(\d{1,12}))?$/.exec(location.hash);
  if (!match) return [];
  const from = Number(match[1]);
  return [from, Math.min(from + 999, Math.max(from, Number(match[2] ?? from)))];
}
