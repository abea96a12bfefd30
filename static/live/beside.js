// Two outputs that scroll together: what one shows, the other shows at the same time since its own agent began.

const GATHER = 120; // ms between two moves of the one that is led

export class Beside {
  #sides; // two of Watched
  #lock = document.getElementById("beside-lock");
  #leader;
  #due = 0;
  #moving = false;
  #wanted = 0; // line that the led one was brought to

  constructor(sides) {
    this.#sides = sides;
    this.#leader = sides[0];
    for (const side of sides) {
      // Only a hand leads: what is moved by us moves nothing.
      for (const kind of ["pointerdown", "pointerover", "wheel", "keydown", "focusin"]) {
        side.root.addEventListener(kind, () => {
          this.#leader = side;
        }, { passive: true });
      }
      for (const name of ["place", "lines", "marked"]) side.pane.on(name, () => side === this.#leader && this.#soon());
    }
    this.#lock.addEventListener("change", () => this.#soon());
  }

  /** The side that a hand was on last: keys act there. */
  get leader() {
    return this.#leader;
  }

  #soon() {
    if (this.#lock.checked) this.#due ||= setTimeout(() => this.#lead(), GATHER);
  }

  async #lead() {
    this.#due = 0;
    if (this.#moving || !this.#lock.checked) return;
    const led = this.#sides.find((side) => side !== this.#leader);
    const at = this.#momentIn(led);
    if (at === null) return;
    this.#moving = true;
    const line = await led.lineAt(at);
    if (line && line !== this.#wanted) {
      this.#wanted = line;
      await led.log.open(line);
    }
    this.#moving = false;
  }

  /** The moment of `led` that is as long after its agent's beginning as what the leader shows; null: not known. */
  #momentIn(led) {
    const row = this.#leader.pane.row(this.#leader.log.place);
    const [began, other] = [this.#leader.agentAt, led.agentAt];
    return row?.dataset.at && began && other ? other + Number(row.dataset.at) - began : null;
  }
}
