// Between the lines: which step of the run begins here. Told by the panel; drawn wherever the rows are.

export class Steps {
  #pane;
  #known = new Map(); // last line before it -> words
  #drawn = new Map(); // last line before it -> its element

  constructor(pane) {
    this.#pane = pane;
    for (const step of pane.root.querySelectorAll(".log-step")) this.#drawn.set(Number(step.dataset.n) - 1, step);
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
    for (const after of this.#drawn.keys()) if (!this.#known.has(after)) this.#remove(after);
    for (const [after, words] of this.#known) {
      const row = this.#pane.row(after + 1);
      if (!row && after !== last) {
        this.#remove(after);
        continue;
      }
      const step = this.#drawn.get(after) ?? this.#step(after);
      if (step.textContent !== words) step.textContent = words;
      if (!step.isConnected || step.nextElementSibling !== row) rows.insertBefore(step, row);
    }
  }

  clear() {
    for (const after of this.#drawn.keys()) this.#remove(after);
  }

  #remove(after) {
    this.#drawn.get(after)?.remove();
    this.#drawn.delete(after);
  }

  /** No line: it has no number, and is not copied. */
  #step(after) {
    const element = document.createElement("p");
    element.className = "log-step";
    element.id = this.#pane.id(`step-${after}`);
    element.dataset.n = after + 1;
    this.#drawn.set(after, element);
    return element;
  }
}
