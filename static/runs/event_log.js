// The raw events, one line each. Written only while somebody looks, and no further back than the last thousand.

import { element } from "./elements.js";

const MOST = 1000;

export class EventLog {
  #events = [];
  #total = 0;

  constructor(details, counter) {
    this.details = details;
    this.counter = counter;
    this.list = details.querySelector("ol");
    details.addEventListener("toggle", () => this.#rewrite());
  }

  add(event) {
    this.#total += 1;
    this.counter.textContent = this.#total;
    this.#events.push(event);
    if (this.#events.length > MOST) this.#events.shift();
    if (!this.details.open) return;
    this.list.append(line(event));
    if (this.list.childElementCount > MOST) this.list.firstElementChild.remove();
  }

  #rewrite() {
    this.list.replaceChildren(...(this.details.open ? this.#events.map(line) : []));
  }
}

function line(event) {
  const time = new Date(event.timestamp).toISOString().slice(11, 23);
  const head = element("span", "log-head", `${event.seq}  ${time}  ${event.type}`);
  return element("li", "", head, " ", element("code", "", JSON.stringify(event.data)));
}
