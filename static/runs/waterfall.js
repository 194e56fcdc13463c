// The time line of a run as bars on one scale, made of what its transcript knows: nothing more is asked of the server.

import { element, filled, seconds } from "./elements.js";
import { stepTitle } from "./timeline.js";

const svg = "http://www.w3.org/2000/svg";
const whole = 1000;
const narrowest = 4; // Of a bar, so that what took a moment can be seen.
const most = 200; // Bars; of more, the last ones.

export class Waterfall {
  #rows = [];

  constructor(section, list, texts) {
    this.section = section;
    this.list = list;
    this.texts = texts;
  }

  /** Draws how things stand at `now`, in milliseconds. */
  show(transcript, now) {
    const bars = barsOf(transcript, now, this.texts).slice(-most);
    this.section.hidden = bars.length === 0;
    const begin = Math.min(...bars.map((bar) => bar.start));
    const span = Math.max(...bars.map((bar) => bar.end)) - begin || 1;
    while (this.#rows.length > bars.length) this.#rows.pop().root.remove();
    bars.forEach((bar, index) => this.#row(index).update(bar, begin, span, this.texts));
  }

  #row(index) {
    if (!this.#rows[index]) {
      this.#rows[index] = new Row();
      this.list.append(this.#rows[index].root);
    }
    return this.#rows[index];
  }
}

class Row {
  constructor() {
    this.title = element("span", "what");
    this.time = element("span", "time");
    this.bar = document.createElementNS(svg, "rect");
    this.first = document.createElementNS(svg, "rect");
    this.first.setAttribute("class", "first");
    const picture = document.createElementNS(svg, "svg");
    for (const [name, value] of Object.entries({ viewBox: `0 0 ${whole} 12`, preserveAspectRatio: "none", "aria-hidden": "true" })) {
      picture.setAttribute(name, value);
    }
    picture.append(this.bar, this.first);
    this.root = element("li", "", this.title, picture, this.time);
  }

  update(bar, begin, span, texts) {
    const length = bar.end - bar.start;
    const width = Math.max(narrowest, (length / span) * whole);
    const at = (moment) => Math.min(((moment - begin) / span) * whole, whole - narrowest);
    Object.assign(this.root.dataset, { kind: bar.kind, depth: bar.depth, state: bar.state });
    this.title.textContent = bar.title;
    place(this.bar, Math.min(at(bar.start), whole - Math.min(width, whole)), width);
    this.first.toggleAttribute("hidden", bar.first === null);
    if (bar.first !== null) place(this.first, at(bar.first), narrowest);
    const first = bar.first === null ? "" : ` · ${filled(texts.first_token, { time: seconds((bar.first - bar.start) / 1000) })}`;
    this.time.textContent = `${seconds(length / 1000)}${bar.state === "open" ? " …" : first}`;
  }
}

function place(rectangle, x, width) {
  for (const [name, value] of Object.entries({ x, width, y: 1, height: 10 })) rectangle.setAttribute(name, value);
}

/** Bars in the order of the transcript; moments in milliseconds. */
function barsOf({ queuedAt, startedAt, endedAt, items }, now, texts) {
  const last = endedAt ? Date.parse(endedAt) : now;
  const bar = (kind, depth, title, begunAt, until, more = {}) => {
    const start = Date.parse(begunAt);
    const state = until || endedAt ? "done" : "open";
    return { kind, depth, title, start, end: Math.max(start, until ? Date.parse(until) : last), state, first: null, ...more };
  };
  const bars = queuedAt ? [bar("queue", 0, texts.in_queue, queuedAt, startedAt)] : [];
  for (const item of items) {
    if (item.kind === "approval") bars.push(bar("wait", 1, `${item.tool} ${texts.approval_pending}`, item.begunAt, item.endedAt));
    if (item.kind !== "step") continue;
    const first = item.firstAt ? Date.parse(item.firstAt) : null;
    bars.push(bar("step", 0, stepTitle(texts, item), item.begunAt, item.endedAt, { first }));
    for (const call of item.calls) {
      const failed = call.state === "failed" ? { state: "failed" } : {};
      bars.push(bar(call.child ? "run" : "call", 1, call.tool, call.begunAt, call.endedAt, failed));
    }
  }
  return bars;
}
