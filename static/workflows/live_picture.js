// The picture of a workflow's run while it goes: how each node stands is read anew when an event says that it may have changed.

const telling = /^(step_|run_|attempt_|approval_|tool_call_progress)/;
const QUIET_FOR = 120;

const SMALLEST = 0.6;

/** A wide drawing shrinks to its room, but not so far that nobody can read it: then the room scrolls. */
export function keepReadable(root) {
  const drawing = root.querySelector("svg");
  if (drawing) drawing.style.minWidth = `${SMALLEST * drawing.getAttribute("width")}px`;
}

export class LivePicture {
  #timer = 0;
  #isReading = false;
  #isStale = false;

  /** `root` holds the drawing; `address` answers `{nodes: {id: {status, said, facts}}}`. */
  constructor(root, address) {
    Object.assign(this, { root, address });
    keepReadable(root);
    this.nodes = new Map([...root.querySelectorAll("[data-node]")].map((node) => [node.dataset.node, node]));
  }

  /** An event of the run has come. */
  hear({ type }) {
    if (!telling.test(type)) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#read(), QUIET_FOR);
  }

  /** One reading at a time; what comes meanwhile is read after it. */
  async #read() {
    this.#isStale = this.#isReading;
    if (this.#isReading) return;
    this.#isReading = true;
    try {
      const response = await fetch(this.address);
      if (response.ok) this.#show(await response.json());
    } catch {
      // The connection is lost: the next event reads again.
    } finally {
      this.#isReading = false;
    }
    if (this.#isStale) this.#read();
  }

  #show({ nodes }) {
    for (const [id, { status, said, facts }] of Object.entries(nodes)) {
      const node = this.nodes.get(id);
      if (!node) continue;
      node.dataset.status = status;
      node.querySelector("title").textContent = said;
      node.querySelector(".facts").textContent = facts;
    }
  }
}
