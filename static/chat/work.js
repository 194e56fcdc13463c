// What an agent does on the way to its answer: thoughts, what it says in between, tool calls, notes. All of it folded.

import { element } from "../runs/elements.js";
import { ApprovalNote, CallView, Folded, NoteView } from "../runs/timeline.js";
import { MarkdownView } from "./markdown.js";

export class Work {
  #views = new Map();

  /** `nameOf(run)` answers, later, the name of the agent or workflow that a run below executes. */
  constructor(list, texts, nameOf) {
    Object.assign(this, { list, texts, nameOf });
  }

  /** Shows a transcript's items as they are now; `answering` is the step whose text is the answer, shown elsewhere. */
  show(items, answering) {
    const wanted = new Set(items.filter(isShown));
    for (const [item, view] of this.#views) {
      if (wanted.has(item)) continue;
      view.root.remove();
      this.#views.delete(item);
    }
    for (const item of wanted) {
      if (!this.#views.has(item)) {
        const view = item.kind === "step" ? new StepView(this.texts, this.nameOf) : new others[item.kind](this.texts);
        this.#views.set(item, view);
        this.list.append(view.root);
      }
      this.#views.get(item).update(item, item === answering);
    }
    this.list.hidden = this.list.childElementCount === 0;
  }
}

const others = { note: NoteView, approval: ApprovalNote };

// What the platform does to keep a run going is told on the run's own page.
const housekeeping = new Set(["attempt_started", "run_resumed", "run_waiting", "run_queued"]);

/** What waits for a person has a card of its own. */
function isShown(item) {
  if (item.kind === "approval") return item.state !== "pending";
  if (item.kind === "note") return !housekeeping.has(item.event.type);
  return Boolean(item.thoughts || item.text || item.calls.length || item.notes.length);
}

class StepView {
  #calls = [];

  constructor(texts, nameOf) {
    Object.assign(this, { texts, nameOf });
    this.thoughts = new Folded(texts.thoughts, "thoughts");
    this.notes = element("ul", "notes");
    this.said = element("div", "said prose");
    this.text = new MarkdownView(this.said, texts);
    this.calls = element("div", "calls");
    this.root = element("li", "step", this.thoughts.root, this.notes, this.said, this.calls);
  }

  update(step, isAnswering) {
    this.thoughts.update(step.thoughts);
    this.thoughts.root.dataset.state = step.done || step.text ? "done" : "running";
    this.notes.replaceChildren(...step.notes.map(({ data }) => element("li", "", `${this.texts.retrying} ${data.message ?? ""}`.trim())));
    this.said.hidden = isAnswering || !step.text;
    if (!this.said.hidden) this.text.update(step.text);
    step.calls.forEach((call, place) => this.#call(place).show(call));
    this.root.hidden = isAnswering && !step.thoughts && step.calls.length === 0 && step.notes.length === 0;
  }

  #call(place) {
    if (!this.#calls[place]) {
      this.#calls[place] = new NamedCall(this.texts, this.nameOf);
      this.calls.append(this.#calls[place].view.root);
    }
    return this.#calls[place];
  }
}

/** A call; of one that has started a run, who is asked. */
class NamedCall {
  #isNamed = false;

  constructor(texts, nameOf) {
    Object.assign(this, { nameOf, view: new CallView(texts) });
  }

  show(call) {
    this.view.update(call);
    // The call is told of before its run is there.
    if (!call.child || this.#isNamed || (call.state === "running" && !call.childStatus)) return;
    this.#isNamed = true;
    this.nameOf(call.child).then((name) => name && this.view.child.prepend(element("strong", "", name), " · "));
  }
}
