// The form of a new run: presets, and the same request as a command line, as it is being written.

const quoted = (word) => (/^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

export function startForm(form) {
  form.addEventListener("input", () => write(form));
  form.addEventListener("click", (event) => {
    const preset = event.target.closest("[data-preset]");
    if (!preset) return;
    const values = JSON.parse(preset.dataset.preset);
    for (const field of form.querySelectorAll('[name^="limits."]')) field.value = values[field.name.slice(7)] ?? "";
    write(form);
  });
  form.addEventListener("submit", () => {
    tasks(form, true); // ticks of a suite that was left do not go along
  });
  write(form);
}

function tasks(form, silence = false) {
  const chosen = [];
  for (const suite of form.querySelectorAll(".suite")) {
    const mine = suite.querySelector('[name="suite"]').checked;
    for (const box of suite.querySelectorAll('[name="task"]')) {
      if (mine && box.checked) chosen.push(box.value);
      if (!mine && silence) box.checked = false;
    }
  }
  return chosen;
}

function write(form) {
  const values = new FormData(form);
  const words = ["crucible", "evaluate", "--suite", values.get("suite") ?? ""];
  for (const task of tasks(form)) words.push("--task", task);
  for (const name of ["agent", "model", "policy", "runtime"]) if (values.get(name)) words.push(`--${name}`, values.get(name));
  if (values.get("epochs") && values.get("epochs") !== "1") words.push("--epochs", values.get("epochs"));
  for (const [name, value] of values) if (name.startsWith("limits.") && value) words.push("--limit", `${name.slice(7)}=${value}`);
  document.getElementById("command").textContent = words.map(quoted).join(" ");
}
