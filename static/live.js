// What a page does by itself: one stream in, the page up to date. Every page works without this file.
import { startAttend } from "./live/attend.js";
import { Beside } from "./live/beside.js";
import { banner, heardFrame, refresh, say, showBehind, showState, startChrome, textBanner } from "./live/chrome.js";
import { heardTime, serverNow, startClock } from "./live/clock.js";
import { cue, startCues } from "./live/cues.js";
import { startForm } from "./live/form.js";
import { startKeys } from "./live/keys.js";
import { Line } from "./live/line.js";
import { startMenus } from "./live/menus.js";
import { morph } from "./live/morph.js";
import { Poll } from "./live/poll.js";
import { reapply, startStop } from "./live/stop.js";
import { Tally } from "./live/tally.js";
import { doorAt, outdated, reloadUnseen } from "./live/version.js";
import { Wall } from "./live/wall.js";
import { Watched } from "./live/watched.js";

startClock();
startChrome();
startStop();
startAttend();
startMenus();
startCues();

const { stream: followed, version, worker } = document.body.dataset;
let line = null;
const wall = document.getElementById("wall") ? new Wall(document.getElementById("wall"), (query) => line?.follow(query)) : null;
const watched = new Map([...document.querySelectorAll("[data-cursor]")].map((root) => [root.dataset.run, new Watched(root)]));
const tallies = new Map([...watched].map(([run, { cursor, pane, log }]) => [run, new Tally(run, Number(cursor.split(".")[1]), pane, log)]));
showBehind(() => Math.max(0, ...[...tallies.values()].map((tally) => tally.behind)));
const beside = watched.size === 2 ? new Beside([...watched.values()]) : null;
startKeys(() => beside?.leader ?? watched.values().next().value ?? { wall });
const form = document.getElementById("new");
if (form) startForm(form);

/** What to do with each frame. */
const frames = {
  hello({ now, version: theirs }) {
    heardTime(now);
    if (theirs && theirs !== version) outdated(theirs);
  },
  hb({ now }) {
    heardTime(now);
  },
  lines(data) {
    watched.get(String(data.run))?.lines(data);
    tallies.get(String(data.run))?.lines(data.lines);
  },
  tally: (data) => tallies.get(String(data.run))?.account(data),
  usage: (data) => watched.get(String(data.run))?.usage(data),
  panel: (data) => watched.get(String(data.run))?.panel(data),
  alerts: (data) => watched.get(String(data.run))?.alerts(data),
  strip({ html }) {
    const strip = document.getElementById("strip");
    const before = strip.textContent;
    reapply(morph(strip, html));
    doorAt(strip.dataset.stopPort);
    refresh();
    cue(strip);
    if (strip.textContent !== before) follow();
  },
  sight: (data) => wall?.sight(data),
  card: (data) => wall?.card(data),
  tools: (data) => wall?.tools(data),
  queue: (data) => wall?.queue(data),
  eof: (data) => watched.get(String(data.run))?.ended(),
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

function receive(event, data) {
  if (typeof data.now === "number") heardFrame(data.now);
  else heardFrame(serverNow());
  frames[event]?.(data);
}

function tell(state) {
  showState(state);
  if (state === "live") banner("session", null);
  if (state === "signed-out") {
    banner("session", textBanner("You are signed out: this page no longer follows. Runs go on.", { href: `/sign-in?next=${encodeURIComponent(location.pathname)}`, text: "Sign in" }));
  }
}

if (followed) {
  const poll = new Poll({ watched, wall, onFrame: receive, onState: tell });
  line = new Line({
    topics: { runs: Object.fromEntries([...watched.values()].map(({ run, cursor }) => [run, cursor])), wall: wall?.query ?? "", csrf: document.querySelector("#act [name=csrf]")?.value },
    worker,
    onFrame: receive,
    onState(state) {
      poll.hear(state);
      if (!poll.active || state === "live" || state === "signed-out" || state === "gone") tell(state);
    },
  });
  addEventListener("online", () => line.hurry());
  document.addEventListener("visibilitychange", () => {
    line.seen(!document.hidden);
    if (document.hidden) reloadUnseen();
    else line.hurry();
  });
  addEventListener("pagehide", () => line.leave()); // frees the connection for the next page at once
  addEventListener("pageshow", (event) => event.persisted && location.reload());
} else {
  showState("");
}
