// What a page does by itself: one stream in, the page up to date. Every page works without this file.
import { banner, heardFrame, refresh, say, showState, startChrome, textBanner } from "./live/chrome.js";
import { Charts } from "./live/charts.js";
import { heardTime, serverNow, startClock } from "./live/clock.js";
import { startForm } from "./live/form.js";
import { startKeys } from "./live/keys.js";
import { Line } from "./live/line.js";
import { goTo, goToMoment, startMarked } from "./live/goto.js";
import { Log } from "./live/log.js";
import { morph } from "./live/morph.js";
import { Ribbon } from "./live/ribbon.js";
import { Search } from "./live/search.js";
import { reapply, startStop } from "./live/stop.js";
import { View } from "./live/view.js";
import { Wall } from "./live/wall.js";

startClock();
startChrome();
startStop();

const { run, cursor, stream: followed, version, worker } = document.body.dataset;
const wall = document.getElementById("wall") ? new Wall(document.getElementById("wall")) : null;
const log = document.getElementById("log") ? new Log() : null;
const view = log ? new View() : null;
const ribbon = log ? new Ribbon(log) : null;
const search = log ? new Search(log, ribbon) : null;
const charts = document.getElementById("charts") ? new Charts(document.getElementById("charts"), (at) => goToMoment(at, log)) : null;
startKeys({ log, view, search });
const form = document.getElementById("new");
if (form) startForm(form);
citeAlerts();
if (log) {
  log.begin();
  search.begin();
  startMarked();
  const go = document.getElementById("log-go");
  go.addEventListener("submit", (event) => {
    event.preventDefault();
    goTo(document.getElementById("log-go-to").value, log);
  });
}

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
  lines: ({ lines }) => log?.receive(lines),
  usage: ({ points }) => charts?.receive(points),
  panel({ html }) {
    const panel = document.getElementById("panel");
    if (panel) reapply(morph(panel, html));
  },
  alerts({ html }) {
    const list = document.getElementById("alerts");
    if (!list) return;
    const before = new Set([...list.querySelectorAll("[data-alert]")].map((element) => element.dataset.alert));
    citeAlerts(morph(list, html), before);
  },
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

/** Marks the cited lines in the output; says grave new alerts aloud. */
function citeAlerts(list = document.getElementById("alerts"), before = null) {
  if (!list || !log) return;
  const all = [...list.querySelectorAll("[data-alert]")];
  const fresh = before === null ? [] : all.filter((element) => !before.has(element.dataset.alert));
  const cited = new Set(all.map((element) => Number(element.dataset.line)).filter(Boolean));
  log.cite(cited, fresh.length);
  ribbon.alerts(cited);
  const grave = fresh.find((element) => element.matches(".alert-high, .alert-critical"));
  if (grave) say(`Alert: ${grave.querySelector(".alert-title").textContent}`, 8);
}

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
    topics: { runs: run ? { [run]: cursor } : {}, wall: wall !== null },
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
