// The steps of a run as elements.

import { element, filled, seconds, shown } from "./elements.js";

// An agent's graph has always the same two nodes; a workflow's have names that people gave them.
const nodesOfAgents = new Set(["model", "tools", "", undefined]);

export function stepTitle(texts, { number, node, type }) {
  const kind = texts[`step_${type}`] ?? type;
  return `${number}. ${nodesOfAgents.has(node) ? kind : `${node} · ${kind}`}`;
}

export class Timeline {
  #views = new Map();

  constructor(list, texts) {
    this.list = list;
    this.texts = texts;
  }

  /** Shows the items as they are now; those that are gone go. */
  show(items) {
    this.#views.clear();
    this.list.replaceChildren();
    items.forEach((item) => this.update(item));
  }

  update(item) {
    if (!this.#views.has(item)) {
      const view = new views[item.kind](this.texts);
      this.#views.set(item, view);
      this.list.append(view.root);
    }
    this.#views.get(item).update(item);
  }
}

export class NoteView {
  constructor(texts) {
    this.texts = texts;
    this.root = element("li", "note");
  }

  update({ event }) {
    const { data } = event;
    this.root.textContent = noteText(this.texts, event);
    if (data.children) this.root.append(...data.children.flatMap((child) => [" ", toRun(child, this.texts)]));
  }
}

export class ApprovalNote {
  constructor(texts) {
    this.texts = texts;
    this.tool = element("code", "tool");
    this.state = element("span", "state");
    this.reason = element("p", "said");
    this.args = new Folded(texts.arguments, "thoughts");
    this.root = element("li", "note approval-note", element("div", "head", this.tool, this.state), this.reason, this.args.root);
  }

  update({ tool, state, by, reason, args }) {
    this.root.dataset.state = state;
    this.tool.textContent = tool;
    this.state.textContent = filled(this.texts[`approval_${state}`] ?? state, { by: by || this.texts.nobody });
    this.reason.textContent = reason;
    this.args.update(shown(args));
  }
}

class StepView {
  #calls = [];

  constructor(texts) {
    this.texts = texts;
    this.title = element("strong");
    this.time = element("span", "time");
    this.text = element("p", "said");
    this.notes = element("ul", "notes");
    this.thoughts = new Folded(texts.thoughts, "thoughts");
    this.calls = element("div", "calls");
    const head = element("div", "head", this.title, this.time);
    this.root = element("li", "step", head, this.notes, this.thoughts.root, this.text, this.calls);
  }

  update(step) {
    this.root.dataset.state = step.done ? "done" : "running";
    this.root.dataset.type = step.type;
    this.title.textContent = stepTitle(this.texts, step);
    this.time.textContent = seconds(step.duration);
    this.text.textContent = step.text;
    this.thoughts.update(step.thoughts);
    this.notes.replaceChildren(...step.notes.map((event) => element("li", "", this.#retried(event.data))));
    step.calls.forEach((call, index) => this.#call(index).update(call));
  }

  #retried(data) {
    return `${this.texts.retrying} ${data.message ?? ""}`.trim();
  }

  #call(index) {
    if (!this.#calls[index]) {
      this.#calls[index] = new CallView(this.texts);
      this.calls.append(this.#calls[index].root);
    }
    return this.#calls[index];
  }
}

export class CallView {
  constructor(texts) {
    this.texts = texts;
    this.tool = element("code", "tool");
    this.state = element("span", "state");
    this.time = element("span", "time");
    this.child = element("p", "child");
    this.args = element("pre");
    this.result = element("pre", "result");
    const summary = element("summary", "", this.tool, this.state, this.time);
    const body = [element("h4", "", texts.arguments), this.args, element("h4", "", texts.result), this.result];
    this.root = element("details", "call", summary, this.child, ...body);
  }

  update(call) {
    this.root.dataset.state = call.state;
    this.tool.textContent = call.tool;
    this.state.textContent = this.#state(call);
    this.time.textContent = seconds(call.duration);
    this.child.hidden = !call.child;
    if (call.child && !this.child.hasChildNodes()) this.child.append(toRun(call.child, this.texts));
    this.args.textContent = shown(call.args);
    this.result.textContent = call.result === null ? "…" : shown(call.result);
  }

  /** Of an agent that is at work: how its run stands. */
  #state({ state, childStatus }) {
    const ofChild = state === "running" && this.texts[`status_${childStatus}`];
    return ofChild || this.texts[`call_${state}`];
  }
}

export class Folded {
  constructor(title, className) {
    this.text = element("p");
    this.root = element("details", className, element("summary", "", title), this.text);
    this.root.hidden = true;
  }

  update(text) {
    this.root.hidden = !text;
    this.text.textContent = text;
  }
}

/** What a note says, with the reason where there is one. */
export function noteText(texts, { type, data }) {
  const known = texts[`${type}_${data.reason}`];
  const said = known ? "" : (data.reason ?? data.message ?? data.attempt ?? "");
  const text = filled(known ?? texts[type] ?? type, { ...data, limit: texts[`limit_${data.limit}`] ?? data.limit });
  return `${text} ${said}`.trim();
}

const views = { step: StepView, note: NoteView, approval: ApprovalNote };

/** A link to the live page of another run. */
function toRun(id, texts) {
  const link = element("a", "", texts.child_run);
  link.href = `/runs/${id}/`;
  return link;
}
