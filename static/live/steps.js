// Between the lines: which step of the run begins here. Told by the panel; drawn wherever the rows are.

export class Steps {
  #pane;
  #known = new Map(); // last line before it -> words

  constructor(pane) {
    this.#pane = pane;
    this.learn(pane.root.dataset.steps);
  }

  /** JSON of [[12, "start ended · agent"], …], as the panel tells it. */
  learn(text) {
    this.#known = new Map(JSON.parse(text || "[]"));
  }

  /** The phase that printed `line`; "" before the first. */
  of(line) {
    const begun = [...this.#known].filter(([after]) => after < line).flatMap(([, words]) => words.split(" · "));
    return begun.findLast((words) => !words.includes(" ended")) ?? "";
  }

  /** Puts each where it belongs; `last`: the newest line in the page if the rows reach the end, else null. */
  place(last) {
    const rows = this.#pane.part("log-rows");
    for (const old of rows.querySelectorAll(".log-step")) if (!this.#known.has(Number(old.dataset.n) - 1)) old.remove();
    for (const [after, words] of this.#known) {
      const row = this.#pane.row(after + 1);
      const old = this.#pane.part(`step-${after}`);
      if (!row && after !== last) {
        old?.remove();
        continue;
      }
      const step = old ?? this.#step(after);
      if (step.textContent !== words) step.textContent = words;
      if (!step.isConnected || step.nextElementSibling !== row) rows.insertBefore(step, row);
    }
  }

  clear() {
    for (const row of this.#pane.root.querySelectorAll(".log-step")) row.remove();
  }

  /** No line: it has no number, and is not copied. */
  #step(after) {
    const element = document.createElement("p");
    element.className = "log-step";
    element.id = this.#pane.id(`step-${after}`);
    element.dataset.n = after + 1;
    return element;
  }
}
