// What waits for a person: a card for each tool call, and the dialogs that reject it or change its arguments.

import { button, element, filled, shown } from "./elements.js";

export class Approvals {
  #cards = new Map();
  #asked = null;

  /**
   * `parts` are the section, its list and the dialogs, which several runs on a page may share; `send(command)` is false
   * while there is no connection.
   */
  constructor(parts, texts, mayDecide, send) {
    Object.assign(this, { parts, texts, mayDecide, send });
    parts.reject?.addEventListener("close", () => this.#reject());
    parts.edit?.addEventListener("submit", (event) => this.#edit(event));
    parts.edit?.addEventListener("close", () => (this.#asked = null));
  }

  /** Shows these approvals, those that are open. */
  show(approvals) {
    const open = new Set(approvals.map(({ id, seq }) => id ?? seq));
    [...this.#cards.keys()].filter((key) => !open.has(key)).forEach((key) => this.#remove(key));
    approvals.forEach((approval) => this.#add(approval.id ?? approval.seq, approval));
    this.parts.section.hidden = open.size === 0;
  }

  /** The outcome of a command. A refused change stays open to be mended; true: it is said there. */
  hear({ action, ok, error }) {
    if (action !== "edit" || !this.parts.edit?.open || this.#asked === null) return false;
    if (ok) this.parts.edit.close();
    else this.#fault(error.message);
    return true;
  }

  #add(key, approval) {
    if (this.#cards.has(key)) return;
    const card = this.#card(approval);
    this.#cards.set(key, card);
    this.parts.list.append(card);
  }

  #remove(key) {
    this.#cards.get(key).remove();
    this.#cards.delete(key);
    if (this.#asked !== key) return;
    this.parts.reject.close("");
    this.parts.edit.close();
  }

  #card(approval) {
    const { tool, args, why, deadline } = approval;
    const card = element("li", "", element("p", "asks", element("code", "tool", tool)), element("pre", "", shown(args)));
    if (why === "unknown_effect") card.append(element("p", "why", this.texts.unknown_effect));
    if (deadline) card.append(element("p", "why", filled(this.texts.deadline, { time: this.#moment(deadline) })));
    if (this.mayDecide) card.append(approval.id ? this.#buttons(approval) : element("p", "why", this.texts.too_large));
    return card;
  }

  #moment(text) {
    return new Date(text).toLocaleString(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
  }

  #buttons(approval) {
    const { texts } = this;
    return element(
      "div",
      "verbs",
      button(texts.approve, "primary", () => this.send({ action: "approve", approval_id: approval.id })),
      button(texts.edit, "", () => this.#askForChanges(approval)),
      button(texts.reject, "danger", () => this.#askForReason(approval)),
    );
  }

  #askForReason(approval) {
    this.#asked = approval.id;
    this.parts.reject.querySelector("textarea").value = "";
    this.parts.reject.returnValue = "";
    this.parts.reject.showModal();
  }

  #reject() {
    const { reject } = this.parts;
    const asked = this.#asked;
    this.#asked = null;
    if (asked === null || reject.returnValue !== "reject") return;
    const reason = reject.querySelector("textarea").value;
    this.send({ action: "reject", approval_id: asked, reason });
  }

  #askForChanges({ id, args, why }) {
    const { edit } = this.parts;
    this.#asked = id;
    edit.querySelector("[name=arguments]").value = JSON.stringify(args, null, 2);
    edit.querySelector("[name=result]").value = "";
    edit.querySelector(".result").hidden = why !== "unknown_effect";
    this.#fault("");
    edit.showModal();
  }

  /** A dialog's own button for leaving it submits nothing. */
  #edit(event) {
    if (this.#asked === null || event.submitter?.value !== "edit") return;
    event.preventDefault();
    const { edit } = this.parts;
    const result = edit.querySelector("[name=result]").value.trim();
    try {
      const said = result
        ? { result: JSON.parse(result) }
        : { arguments: JSON.parse(edit.querySelector("[name=arguments]").value) };
      this.#fault("");
      if (!this.send({ action: "edit", approval_id: this.#asked, ...said })) edit.close();
    } catch (error) {
      this.#fault(`${this.texts.no_json} ${error.message}`);
    }
  }

  #fault(message) {
    const fault = this.parts.edit.querySelector(".fault");
    fault.hidden = !message;
    fault.textContent = message;
  }
}
