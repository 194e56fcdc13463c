// The steps of a run as elements. Text only ever becomes text: nothing here parses HTML.

/** An element with a class and children; strings become text. */
export function element(tag, className = "", ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
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
      const view = item.kind === "step" ? new StepView(this.texts) : new NoteView(this.texts);
      this.#views.set(item, view);
      this.list.append(view.root);
    }
    this.#views.get(item).update(item);
  }
}

class NoteView {
  constructor(texts) {
    this.texts = texts;
    this.root = element("li", "note");
  }

  update({ event }) {
    const { data } = event;
    const said = data.reason ?? data.message ?? data.attempt ?? "";
    this.root.textContent = `${this.texts[event.type] ?? event.type} ${said}`.trim();
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
    this.title.textContent = `${step.number}. ${this.texts[`step_${step.type}`] ?? step.type}`;
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

class CallView {
  constructor(texts) {
    this.texts = texts;
    this.tool = element("code", "tool");
    this.state = element("span", "state");
    this.time = element("span", "time");
    this.args = element("pre");
    this.result = element("pre", "result");
    const summary = element("summary", "", this.tool, this.state, this.time);
    const body = [element("h4", "", texts.arguments), this.args, element("h4", "", texts.result), this.result];
    this.root = element("details", "call", summary, ...body);
  }

  update(call) {
    this.root.dataset.state = call.state;
    this.tool.textContent = call.tool;
    this.state.textContent = this.texts[`call_${call.state}`];
    this.time.textContent = seconds(call.duration);
    this.args.textContent = shown(call.args);
    this.result.textContent = call.result === null ? "…" : shown(call.result);
  }
}

class Folded {
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

/** A value as people read it: text as it is, anything else as indented JSON. */
export function shown(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

export function seconds(duration) {
  return duration === null || duration === undefined ? "" : `${Number(duration).toFixed(2)} s`;
}
