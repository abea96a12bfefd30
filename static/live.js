// What a page does by itself: one stream in, the page up to date. Every page works without this file.
import { banner, heardFrame, refresh, say, showState, startChrome, textBanner } from "./live/chrome.js";
import { heardTime, serverNow, startClock } from "./live/clock.js";
import { startForm } from "./live/form.js";
import { startKeys } from "./live/keys.js";
import { Line } from "./live/line.js";
import { morph } from "./live/morph.js";
import { reapply, startStop } from "./live/stop.js";
import { Wall } from "./live/wall.js";
import { Watched } from "./live/watched.js";

startClock();
startChrome();
startStop();

const { stream: followed, version, worker } = document.body.dataset;
const wall = document.getElementById("wall") ? new Wall(document.getElementById("wall")) : null;
const watched = new Map([...document.querySelectorAll("[data-cursor]")].map((root) => [root.dataset.run, new Watched(root)]));
startKeys(() => watched.values().next().value ?? {});
const form = document.getElementById("new");
if (form) startForm(form);

/** What to do with each frame. */
const frames = {
  hello({ now, version: theirs }) {
    heardTime(now);
    wall?.hello();
    if (theirs && theirs !== version) {
      banner("version", textBanner(`The server is now version ${theirs}; this page is from ${version}.`, { href: location.href, text: "Reload" }));
    }
  },
  hb({ now }) {
    heardTime(now);
  },
  lines: (data) => watched.get(String(data.run))?.lines(data),
  usage: (data) => watched.get(String(data.run))?.usage(data),
  panel: (data) => watched.get(String(data.run))?.panel(data),
  alerts: (data) => watched.get(String(data.run))?.alerts(data),
  strip({ html }) {
    const strip = document.getElementById("strip");
    const before = strip.textContent;
    reapply(morph(strip, html));
    refresh();
    if (strip.textContent !== before) follow();
  },
  card: (data) => wall?.card(data),
  gone: (data) => wall?.gone(data),
  queue: (data) => wall?.queue(data),
  eof() {},
  bye({ why }) {
    if (why === "shutdown") say("The server is going down. This page comes back with it.", 10);
  },
};

/** Lists have no frames of their own: when the header tells of a change they are asked for again, at most once a second. */
let following = 0;
function follow() {
  if (!document.querySelector("main[data-follow]") || following) return;
  following = setTimeout(() => {
    following = 0;
    htmx.ajax("GET", location.pathname + location.search, { target: "#main", select: "#main", swap: "outerMorph" });
  }, 1000);
}

if (followed) {
  const line = new Line({
    topics: { runs: Object.fromEntries([...watched.values()].map(({ run, cursor }) => [run, cursor])), wall: wall !== null },
    worker,
    onFrame(event, data) {
      if (typeof data.now === "number") heardFrame(data.now);
      else heardFrame(serverNow());
      frames[event]?.(data);
    },
    onState(state) {
      showState(state);
      if (state === "live") banner("session", null);
      if (state === "signed-out") {
        banner("session", textBanner("You are signed out: this page no longer follows. Runs go on.", { href: `/sign-in?next=${encodeURIComponent(location.pathname)}`, text: "Sign in" }));
      }
    },
  });
  addEventListener("online", () => line.hurry());
  document.addEventListener("visibilitychange", () => document.hidden || line.hurry());
  addEventListener("pagehide", () => line.leave()); // frees the connection for the next page at once
  addEventListener("pageshow", (event) => event.persisted && location.reload());
} else {
  showState("");
}
