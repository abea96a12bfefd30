// The frame of the page: freshness, messages, copy buttons, the theme. Health of the stream is shown, never assumed.
import { doubtTime, serverNow } from "./clock.js";

const AGE_SHOWN = 3; // seconds without news: the age appears
const BEHIND_SHOWN = 1; // seconds by which a page may be behind before it says so
const AGE_OLD = 10; // values lose their colour
const AGE_STALE = 30; // the page says so everywhere

const WORDS = {
  connecting: "connecting",
  live: "live",
  stale: "no news",
  waiting: "reconnecting",
  polling: "asks each 5 s",
  "signed-out": "signed out",
  gone: "ended",
};

let state = "";
let behind = () => 0; // seconds by which what is shown is behind what was printed
let newest = 0; // server time of the newest frame

/** @param {number} at server time of a frame that has just arrived */
export function heardFrame(at) {
  newest = Math.max(newest, at);
}

/** @param {() => number} seconds */
export function showBehind(seconds) {
  behind = seconds;
}

export function showState(next) {
  state = next;
  refresh();
}

/** The age, and in the title what a page in the background has to tell: its timers may come once a minute only. */
export function refresh() {
  const badge = document.getElementById("fresh");
  if (!badge) return;
  badge.dataset.state = state;
  const age = newest ? Math.max(0, serverNow() - newest) : 0;
  const word = WORDS[state] ?? "";
  if (state === "live" && age > AGE_SHOWN) doubtTime();
  const late = state === "live" ? behind() : 0;
  const fresh = late >= BEHIND_SHOWN ? `behind by ${late.toFixed(1)} s` : "live";
  const text = state === "live" && age < AGE_SHOWN ? fresh : newest && age >= 1 ? `${word}, ${age.toFixed(0)} s old` : word;
  badge.toggleAttribute("data-late", late >= BEHIND_SHOWN || (state === "live" && age >= AGE_SHOWN));
  const place = document.getElementById("fresh-text");
  if (place.textContent !== text) place.textContent = text;
  badge.title = newest ? `The newest news is ${age.toFixed(1)} s old. Runs go on whether you watch or not.` : "";

  const final = state === "signed-out";
  const look = final || age > AGE_STALE ? "stale" : age > AGE_OLD ? "old" : "";
  const root = document.documentElement;
  if (root.dataset.age !== look) root.dataset.age = look;
  // Colour leaves little by little, from the moment the age is shown to the moment the page is stale.
  const fade = final ? 1 : Math.min(1, Math.max(0, (age - AGE_SHOWN) / (AGE_STALE - AGE_SHOWN)));
  root.toggleAttribute("data-fading", fade > 0);
  root.style.setProperty("--fade", fade.toFixed(2));
  root.style.setProperty("--age", look && !final ? `"${Math.floor(age)} s old"` : '"old"');
  // A tab in the background says how many alerts are open, or that it knows nothing any more.
  const alerts = Number(document.getElementById("strip")?.dataset.alerts ?? 0);
  const mark = look === "stale" ? "STALE · " : alerts ? `(${alerts}) ` : "";
  const title = mark + document.title.replace(/^(STALE · |\(\d+\) )/, "");
  if (document.title !== title) document.title = title;
}

/** Says something once, in passing. */
export function say(text, seconds = 5) {
  const place = document.getElementById("say");
  place.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => {
    place.textContent = "";
  }, seconds * 1000);
}

/** A banner under the header that stays. One per key; null takes it away. */
export function banner(key, element) {
  const place = document.getElementById("alarm");
  const old = place.querySelector(`[data-banner="${key}"]`);
  if (!element) return old?.remove();
  element.dataset.banner = key;
  if (old) old.replaceWith(element);
  else place.append(element);
  return undefined;
}

/** A banner of plain text with an optional link. */
export function textBanner(text, link = null) {
  const element = document.createElement("div");
  element.className = "banner banner-warn";
  const paragraph = document.createElement("p");
  paragraph.textContent = text;
  element.append(paragraph);
  if (link) {
    const anchor = document.createElement("a");
    anchor.className = "button small";
    anchor.href = link.href;
    anchor.textContent = link.text;
    element.append(anchor);
  }
  return element;
}

export function startChrome() {
  setInterval(refresh, 500);
  // Sticky parts below the header follow its true height, banners included.
  const header = document.querySelector(".top");
  new ResizeObserver(() => {
    document.documentElement.style.setProperty("--header", `${header.offsetHeight}px`);
  }).observe(header);
  document.addEventListener("click", onClick);
  startTheme();
}

async function onClick(event) {
  const copy = event.target.closest("[data-copy], [data-copy-from]");
  if (copy) await copyText(copy);
  const open = event.target.closest("[data-open]");
  if (open) document.getElementById(open.dataset.open).showModal();
}

async function copyText(button) {
  const source = button.dataset.copyFrom ? document.getElementById(button.dataset.copyFrom) : null;
  const text = source ? source.textContent : button.dataset.copy;
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.", 2);
  } catch {
    // No clipboard on plain http from another machine: select it, so that one key press copies.
    const range = document.createRange();
    range.selectNodeContents(source ?? button.parentElement.querySelector("code"));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    say("Selected: press Ctrl+C to copy.", 4);
  }
}

function startTheme() {
  const button = document.getElementById("theme");
  const order = ["system", "light", "dark"];
  const show = () => {
    button.textContent = `Theme: ${document.documentElement.dataset.theme ?? "system"}`;
  };
  button.addEventListener("click", () => {
    const now = document.documentElement.dataset.theme ?? "system";
    const next = order[(order.indexOf(now) + 1) % order.length];
    if (next === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    try {
      if (next === "system") localStorage.removeItem("theme");
      else localStorage.setItem("theme", next);
    } catch {
      // not remembered; it holds for this page
    }
    show();
    document.dispatchEvent(new Event("crucible:theme"));
  });
  show();
}
