// Going to a line or a moment.
import { serverNow } from "./clock.js";
import { say } from "./chrome.js";

/** "123", "start", "end", "14:03", "14:03:09", "2026-11-21 14:03:09", "+90" (seconds after the start). */
export async function goTo(text, pane, log) {
  const wanted = text.trim().toLowerCase();
  if (wanted === "end") return log.follow();
  if (wanted === "start") return log.open(1, { mark: true });
  if (/^[\d\s\u202f]+$/.test(wanted)) return log.goTo(Number(wanted.replace(/[\s\u202f]/g, "")));
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
