// Going to a line or a moment, and taking lines and links along.
import { number, serverNow } from "./clock.js";
import { say } from "./chrome.js";

/** "123", "start", "end", "14:03", "14:03:09", "2026-11-21 14:03:09", "+90" (seconds after the start). */
export async function goTo(text, pane, log) {
  const wanted = text.trim().toLowerCase();
  if (wanted === "end") return log.follow();
  if (wanted === "start") return log.open(1, { mark: true });
  if (/^[\d\s\u202f]+$/.test(wanted)) return log.open(Number(wanted.replace(/[\s\u202f]/g, "")), { mark: true });
  const at = momentOf(wanted, Number(pane.root.dataset.began));
  if (at === null) return say(`"${text}" is neither a line nor a time. Write 123, start, end, 14:03:09 or +90.`);
  return goToMoment(at, pane, log);
}

/** The number of the first line printed at or after `at`, unix seconds; of the last when there is none. */
export async function momentLine(at, pane) {
  const response = await fetch(`${pane.root.dataset.moment}?at=${Math.max(0, at).toFixed(6)}`, { headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  return (await response.json()).line;
}

/** To the first line printed at or after `at`, unix seconds. */
export async function goToMoment(at, pane, log) {
  try {
    await log.open(await momentLine(at, pane), { mark: true });
  } catch (error) {
    say(`That moment was not found: ${error.message}.`);
  }
}

function momentOf(text, start) {
  const after = /^\+(\d+(?:\.\d+)?)\s*s?$/.exec(text);
  if (after) return start + Number(after[1]);
  const clock = /^(\d{1,2}):(\d\d)(?::(\d\d(?:\.\d+)?))?$/.exec(text);
  if (clock) {
    const seconds = Number(clock[1]) * 3600 + Number(clock[2]) * 60 + Number(clock[3] ?? 0);
    // The first such time since the run began.
    const midnight = Math.floor(start / 86_400) * 86_400;
    const at = midnight + seconds;
    return at >= start - 60 || at + 86_400 > serverNow() ? at : at + 86_400;
  }
  const whole = /^(\d{4}-\d\d-\d\d)[t ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)z?$/.exec(text);
  const parsed = whole ? Date.parse(`${whole[1]}T${whole[2].length === 5 ? `${whole[2]}:00` : whole[2]}Z`) : NaN;
  return Number.isNaN(parsed) ? null : parsed / 1000;
}

/** The bar that appears while a line or a range is marked. */
export function startMarked(pane) {
  const bar = pane.part("log-marked");
  const show = () => {
    const [from, to] = pane.marked;
    bar.hidden = !from;
    if (from) pane.part("log-marked-text").textContent = from === to ? `Line ${number(from)}` : `Lines ${number(from)} to ${number(to)}`;
  };
  addEventListener("hashchange", show);
  pane.on("marked", show);
  pane.part("log-copy-link").addEventListener("click", () => {
    const [from, to] = pane.marked;
    copy(pane.addressed ? location.href : new URL(`${pane.place(from).href}${to > from ? `-L${to}` : ""}`, location.href).href);
  });
  pane.part("log-copy-text").addEventListener("click", () => {
    const rows = [...pane.root.querySelectorAll(".ln.target .tx")];
    copy(rows.map((row) => row.textContent).join("\n")); // as it is shown: nothing in it can act on a terminal
  });
  show();
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.", 2);
  } catch {
    const area = document.createElement("textarea"); // plain http from another machine has no clipboard
    area.value = text;
    area.className = "sr";
    document.body.append(area);
    area.select();
    say(document.execCommand("copy") ? "Copied." : "Your browser does not let this page copy.", 3);
    area.remove();
  }
}
