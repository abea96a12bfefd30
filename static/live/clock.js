// Time as the server sees it, and the texts on the page that grow with it.

let offset = 0; // seconds to add to our clock to get the server's; the smallest delay seen wins
let sure = false;

/** Called with the server's time in each frame that carries one. */
export function heardTime(serverNow) {
  const seen = serverNow - Date.now() / 1000;
  // A frame can be late but never early: the largest difference is nearest to the truth. Drift is let in slowly.
  if (!sure || seen > offset) offset = seen;
  else offset += (seen - offset) * 0.02;
  sure = true;
}

let asked = 0; // performance.now() of the last question
const DOUBTS = 10_000; // ms between two questions
const COARSE = 2; // seconds: the answer is a whole second, somewhere within the way there and back

/**
 * Called when the age of the news is in doubt: a clock that was set looks like news that is late. Asks the server what
 * time it is there; the question has its own way, so what is late on the stream is not late here.
 */
export async function doubtTime() {
  if (performance.now() - asked < DOUBTS) return;
  asked = performance.now();
  const from = Date.now() / 1000;
  try {
    const answer = await fetch("/healthz", { method: "HEAD", cache: "no-store", signal: AbortSignal.timeout(3_000) });
    const to = Date.now() / 1000;
    const there = Date.parse(answer.headers.get("date")) / 1000 + 0.5;
    const found = there - (from + to) / 2;
    if (Number.isFinite(found) && Math.abs(found - offset) > COARSE + (to - from) / 2) offset = found;
  } catch {
    // no answer: the age is what it seems
  }
}

export const serverNow = () => Date.now() / 1000 + offset;

/** 64 -> "1 m 04 s": the server's filter `duration`, for seconds that go on. */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (number) => String(number).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} m ${two(whole % 60)} s`;
  if (whole < 48 * 3600) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} m`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

/** Unix seconds -> "14:03:09.120", UTC: the server's filter `clock`. */
export const clock = (at) => new Date(Math.round(at * 1000)).toISOString().slice(11, 23);

/** 1536 -> "1.5 KiB": the server's filter `bytes`. */
export function bytes(size) {
  let amount = size;
  let unit = 0;
  for (; Math.abs(amount) >= 1024 && unit < 4; unit += 1) amount /= 1024;
  return `${unit === 0 || Number.isInteger(amount) ? Math.round(amount) : amount.toFixed(1)} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
}

/** 12345 -> "12 345": the server's filter `number`. */
export const number = (value) => String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u202f");

const dead = new Map(); // "42" or "all" -> when a warden proved it dead, until the server has it in its record

/** The warden has proven that nothing of it is left, at `at`: its clocks stand still. null: the server tells again. */
export function provenDead(what, at) {
  if (at === null) dead.delete(what);
  else dead.set(what, at);
  tick();
}

/** Where the clocks of a run stand: `now`, while it is not proven dead. */
function until(element, now) {
  const run = dead.size ? element.closest("[data-run]")?.dataset.run : undefined;
  return run === undefined ? now : Math.min(now, dead.get(run) ?? dead.get("all") ?? now);
}

/** Moves every running clock on the page. */
function tick() {
  const now = serverNow();
  for (const element of document.querySelectorAll("[data-start]")) {
    const elapsed = Math.max(Number(element.dataset.elapsed), until(element, now) - Number(element.dataset.start));
    setText(element.querySelector("[data-clock]"), duration(elapsed));
    if (until(element, now) < now) setText(element.closest("[data-run]").querySelector(".mark > span"), "Dead, not recorded yet");
    const level = element.parentElement.querySelector("[data-level]");
    if (!level) continue;
    const grown = Number(level.dataset.level) + (elapsed - Number(element.dataset.elapsed)) / Number(element.dataset.wall);
    level.setAttribute("width", (100 * Math.min(1, grown)).toFixed(2));
    level.parentElement.classList.toggle("bar-high", grown >= 0.9);
  }
  for (const element of document.querySelectorAll("[data-due]")) {
    setText(element, duration(Number(element.dataset.due) - now));
  }
  for (const element of document.querySelectorAll("[data-since]")) {
    const since = until(element, now) - Number(element.dataset.since);
    setText(element, duration(since));
    const quiet = element.parentElement.dataset.quiet; // seconds of which nothing is said
    if (quiet) element.parentElement.hidden = since < Number(quiet);
  }
  tickStopPath(now);
}

const STALE = 10; // s after which a proof no longer counts
let silent = null; // while the server gives a STOP no answer: when the warden did last, 0 for never

/** @param {number | null} at when the warden last answered in the server's place, 0 for never; null: the server answers */
export function serverSilent(at) {
  silent = at === null ? null : Math.max(at, silent ?? 0);
  tick();
}

/** "stop path OK 2 s ago, 14 ms": a button whose way is not proven must not look like a working one. */
function tickStopPath(now) {
  const badge = document.getElementById("stop-path");
  if (!badge) return;
  const at = Number(badge.dataset.proven);
  const age = Math.max(0, now - at);
  const unproven = silent === null ? !at || age > STALE : now - silent > STALE;
  badge.classList.toggle("is-unproven", unproven);
  document.getElementById("stop-all")?.classList.toggle("is-unproven", unproven);
  document.body.classList.toggle("is-unproven", unproven);
  const last = at ? `, last OK ${duration(age)} ago` : "";
  const proven = silent === null ? `stop path OK ${Math.round(age)} s ago, ${badge.dataset.ms}` : "server silent, the warden stops";
  setText(badge.querySelector("[data-keep]"), unproven ? `STOP (unproven)${silent === null ? last : ", server silent"}` : proven);
}

function setText(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

export function startClock() {
  heardTime(Number(document.body.dataset.now));
  tick();
  setInterval(tick, 1000);
}
