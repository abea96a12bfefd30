// The keyboard map. Single keys act only when nobody is typing.
import { say } from "./chrome.js";

const PLACES = { w: "/", e: "/evaluations", a: "/alerts", n: "/new", h: "/health" };
const ARMED = 5_000; // ms in which Enter stops the run

let chord = 0; // performance.now() of the last "g"
let armed = null; // {button, until}

const typing = (target) => target.closest?.("input, textarea, select, [contenteditable]");
const writing = (target) => typing(target) && !target.matches("[type=range], [type=checkbox]");

function onKey(event, { pane, log, view, search, copying, wall }) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (armed && event.key !== "Shift") {
    const { button, until } = armed;
    armed = null;
    document.querySelectorAll(".is-armed").forEach((element) => element.classList.remove("is-armed"));
    if (event.key === "Enter" && performance.now() < until && button.isConnected) {
      event.preventDefault();
      button.form.requestSubmit(button);
      return;
    }
    say("");
  }
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "K" && event.shiftKey && !writing(event.target)) return arm(event);
  if (typing(event.target)) return;
  if (chord && performance.now() - chord < 1500 && PLACES[event.key]) return location.assign(PLACES[event.key]);
  chord = event.key === "g" ? performance.now() : 0;
  switch (event.key) {
    case "?":
      return document.getElementById("keys").showModal();
    case "j":
      return step(1);
    case "k":
      return step(-1);
    case "ArrowRight":
    case "ArrowLeft":
    case "ArrowDown":
    case "ArrowUp":
      return arrow(event);
    case "f":
      return log?.follow();
    case "End":
      if (log) {
        event.preventDefault();
        log.follow();
      }
      return undefined;
    case "w":
      return view?.toggle("wrap");
    case "o":
      return view?.toggle("json");
    case "e":
      return log?.firstError();
    case "c":
      return copying?.here();
    case "n":
      return search?.step(1);
    case "p":
      return search?.step(-1);
    case "/":
      if (search ?? wall) {
        event.preventDefault();
        if (search) search.focus();
        else wall.search();
      }
      return undefined;
    case "Home":
      if (log) {
        event.preventDefault();
        log.open(1);
      }
      return undefined;
    case "l":
      if (log) {
        event.preventDefault();
        pane.part("log-go-to").focus();
      }
      return undefined;
    default:
      return undefined;
  }
}

/** Focus on the next or previous card. */
function step(by) {
  const links = [...document.querySelectorAll(".card .stretch")];
  if (links.length === 0) return;
  const here = links.findIndex((link) => link.closest(".card").contains(document.activeElement));
  const next = links[Math.min(links.length - 1, Math.max(0, here < 0 ? 0 : here + by))];
  next.focus();
  next.closest(".card").scrollIntoView({ block: "nearest" });
}

/** Arrows lead from card to card once one is in focus; before that they scroll as ever. */
function arrow(event) {
  const card = document.activeElement?.closest(".card");
  if (!card) return;
  event.preventDefault();
  if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
    step(event.key === "ArrowRight" ? 1 : -1);
    return;
  }
  const down = event.key === "ArrowDown";
  const here = card.getBoundingClientRect();
  const middle = (here.left + here.right) / 2;
  const near = (box) => Math.abs(box.top - here.top) * 10 + Math.abs((box.left + box.right) / 2 - middle);
  const [next] = [...document.querySelectorAll(".wall .card")]
    .map((element) => ({ element, box: element.getBoundingClientRect() }))
    .filter(({ box }) => (down ? box.top > here.top + 1 : box.top < here.top - 1))
    .sort((a, b) => near(a.box) - near(b.box));
  next?.element.querySelector(".stretch").focus();
  next?.element.scrollIntoView({ block: "nearest" });
}

/** Shift+K names the run; Enter stops it. */
function arm(event) {
  event.preventDefault();
  const inFocus = document.activeElement?.closest("[data-run]:not(body)");
  const button = (inFocus ?? document.getElementById("panel"))?.querySelector("[data-stop]");
  if (!button) {
    if (document.querySelector(".beside")) say("Press into one of the two outputs first.");
    else say(document.getElementById("wall") ? "Choose a run with j and k first." : "There is nothing to stop here.");
    return;
  }
  armed = { button, until: performance.now() + ARMED };
  button.classList.add("is-armed");
  say(`Press Enter to stop run ${button.dataset.stop}. Any other key: no.`, ARMED / 1000);
}

/** @param parts gives the output that keys act on: {pane, log, view, search}, or {} where there is none */
export function startKeys(parts) {
  document.addEventListener("keydown", (event) => onKey(event, parts()));
}
