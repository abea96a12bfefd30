// Attended runs: whoever moves, types or presses on the run's page is there; the server is told, at most every 15 s.

const AGAIN = 15_000; // ms between two words to the server

let told = -AGAIN; // performance.now()

function here(event) {
  const notice = document.querySelector("[data-attended]");
  if (!notice || !event.isTrusted || document.hidden || performance.now() - told < AGAIN) return;
  told = performance.now();
  const button = notice.querySelector("button");
  if (!button || event.target === button) return; // its own press says it
  const body = new URLSearchParams(new FormData(document.getElementById("act")));
  const headers = { Accept: "application/json" };
  fetch(button.getAttribute("formaction"), { method: "POST", body, headers, redirect: "manual" }).catch(() => {
    told = -AGAIN; // not heard: the next movement tries again
  });
}

export function startAttend() {
  for (const sign of ["pointerdown", "pointermove", "keydown", "wheel"]) document.addEventListener(sign, here, { passive: true });
}
