// An agent's answer: as it comes, with what the agent does on the way and what it asks people; and as it is kept.

import { Approvals } from "../runs/approvals.js";
import { button, element, filled } from "../runs/elements.js";
import { RunSocket } from "../runs/socket.js";
import { Transcript } from "../runs/transcript.js";
import { MarkdownView } from "./markdown.js";
import { Versions } from "./messages.js";
import { announce, copyText, iconButton, part } from "./parts.js";
import { Work } from "./work.js";

const ended = new Set(["completed", "failed", "cancelled"]);
const resting = new Set(["paused", "pausing", "waiting"]);

export class AnswerView {
  #socket = null;
  #awaitsFrame = false;
  #cost = 0;
  #children = new Map();
  #connection = "";
  #isReplay = false;

  /**
   * `context`: `{texts, page, api, mayWrite, nameOf(run), regenerate(view), branch(message), select(id), stays(change),
   * ended(view), isFirst(run)}`; `stays` changes the page and keeps its end in sight.
   */
  constructor(context) {
    this.context = context;
    const { texts } = context;
    this.message = null;
    this.run = null;
    this.transcript = null;
    this.name = element("h2", "name");
    this.work = element("ol", "work");
    this.work.hidden = true;
    this.body = element("div", "body prose");
    this.status = element("p", "status");
    this.fault = element("div", "fault");
    this.sources = element("details", "sources");
    this.sources.hidden = this.fault.hidden = true;
    this.cards = element("section", "approvals", element("h3", "", texts.decide), element("ol"));
    this.cards.hidden = true;
    this.copy = iconButton("copy", texts.copy, () => copyText(this.copy, this.#text, texts));
    this.again = iconButton("again", texts.regenerate, () => context.regenerate(this));
    this.fork = iconButton("branch", texts.branch, () => context.branch(this.message));
    this.steps = iconButton("live", texts.steps, () => this.#replay());
    this.versions = new Versions(context);
    this.usage = element("a", "usage");
    const verbs = context.mayWrite ? [this.again, this.fork] : [];
    this.foot = element("div", "foot", this.versions.root, this.copy, ...verbs, this.steps, this.usage);
    this.root = element("li", "message answer", this.name, this.work, this.body, this.cards, this.status, this.fault, this.sources, this.foot);
    this.root.tabIndex = -1;
    this.done = new Work(this.work, texts, context.nameOf);
    this.markdown = new MarkdownView(this.body, texts, (number) => this.#footnote(number));
    this.approvals = this.#approvalsOf(this.cards, (command) => this.#send(command));
  }

  get #text() {
    return this.message?.content ?? this.transcript?.answer ?? "";
  }

  get runId() {
    return this.run?.id ?? this.message?.run_id ?? null;
  }

  /** Whether its run goes on. */
  get isLive() {
    return !this.message && this.run !== null && !ended.has(this.#state);
  }

  get #state() {
    return (!this.#isReplay && this.transcript?.status) || this.run?.status || "";
  }

  /** The answer as the history has it, or none yet; and the run that it is of, where it is known. */
  update(message, run) {
    const isNew = message && JSON.stringify(message.metadata?.citations) !== JSON.stringify(this.message?.metadata?.citations);
    this.message = message;
    if (run) this.run = run;
    this.root.dataset.id = message?.id ?? "";
    this.root.dataset.run = this.runId ?? "";
    this.name.textContent = message?.source ?? run?.agent ?? run?.workflow ?? this.name.textContent;
    if (message) {
      this.#showSources();
      this.markdown.update(message.content);
      if (isNew) this.markdown.refresh();
      if (message.thought && !this.transcript) this.#showThoughts(message);
    }
    this.#showState();
  }

  /** Follows its run until that has ended, from the beginning or from where this view stands. */
  follow() {
    if (this.#socket) return;
    this.transcript ??= new Transcript();
    this.#socket = new RunSocket(`/ws/runs/${this.runId}/`, {
      lastSeq: () => this.transcript.lastSeq,
      onEvent: (event) => this.#hear(event),
      onAnswer: (answer) => this.approvals.hear(answer) || this.#tell(answer),
      onState: (state, reason) => this.#connected(state, reason),
    });
    this.#socket.open();
  }

  /** Nobody looks at it any more. */
  close() {
    this.#socket?.close();
    this.#socket = null;
    for (const child of this.#children.values()) child.socket.close();
    this.#children.clear();
  }

  #hear(event) {
    this.transcript.apply(event);
    if (event.type === "run_waiting") event.data.children.forEach((id) => this.#watch(id));
    this.#showSoon();
  }

  /** Many events in one frame are one change of the page, and a long answer takes no more than a third of the time. */
  #showSoon() {
    if (this.#awaitsFrame) return;
    this.#awaitsFrame = true;
    const show = () => this.#show();
    if (document.hidden) setTimeout(show, 250);
    else if (this.#cost > 8) setTimeout(() => requestAnimationFrame(show), Math.min(2 * this.#cost, 1000));
    else requestAnimationFrame(show);
  }

  #show() {
    this.#awaitsFrame = false;
    const started = performance.now();
    this.context.stays(() => {
      this.done.show(this.transcript.items, this.transcript.answering);
      if (!this.message) this.markdown.update(this.transcript.answer);
      this.approvals.show(this.transcript.open);
      this.#showState();
    });
    this.#cost = performance.now() - started;
  }

  #connected(state, reason) {
    this.#connection = state;
    if (state === "refused") this.#tell({ ok: false, error: { message: reason } });
    else this.#showState();
    if (state !== "ended") return;
    // What came last is shown before anybody hears that it is over.
    if (this.#awaitsFrame) this.#show();
    this.#socket.close();
    this.#socket = null;
    if (this.#isReplay) return;
    this.#announce();
    this.context.ended(this);
  }

  #announce() {
    const { texts } = this.context;
    const text = { completed: texts.said, failed: texts.said_failed, cancelled: texts.said_stopped }[this.#state];
    if (text) announce(filled(text, { name: this.name.textContent, text: this.transcript.answer.slice(0, 400) }));
  }

  #showState() {
    const { texts } = this.context;
    const state = this.#state;
    this.root.dataset.state = state;
    this.root.ariaBusy = String(this.isLive && !resting.has(state));
    const says = this.#says(state);
    this.status.replaceChildren(says);
    this.status.hidden = !says;
    this.status.dataset.kind = this.isLive && (state === "running" || state === "queued" || state === "created") ? "busy" : "rest";
    if (state === "paused" && this.context.mayWrite && !this.message) this.status.append(" ", button(texts.resume, "", () => this.#send({ action: "resume" })));
    this.#showFault();
    this.#showFoot(texts);
  }

  #says(state) {
    const { texts } = this.context;
    if (this.message) return this.message.metadata?.stopped || state === "cancelled" ? texts.stopped : "";
    if (this.#connection === "lost") return texts.connection_lost;
    if (state === "cancelled") return texts.stopped;
    if (state === "queued" || state === "created") return this.context.isFirst(this.run) ? texts.thinking : texts.waits_turn;
    if (state === "paused" || state === "pausing") return texts[`status_${state}`];
    if (state === "running" && !this.transcript?.answer) return texts.thinking;
    return "";
  }

  #showFault() {
    const { texts, mayWrite } = this.context;
    const error = this.transcript?.error ?? this.run?.error ?? null;
    this.fault.hidden = this.#state !== "failed" || Boolean(this.message);
    if (this.fault.hidden) return;
    const retry = mayWrite ? [button(texts.retry, "", () => this.context.regenerate(this))] : [];
    this.fault.replaceChildren(
      element("p", "", element("strong", "", texts.failed), " ", element("code", "", error?.class ?? "")),
      element("p", "", error?.message ?? ""), ...retry,
    );
  }

  #showFoot(texts) {
    this.foot.hidden = this.isLive;
    this.copy.hidden = !this.#text;
    this.fork.hidden = !this.message;
    this.again.hidden = !this.message?.run_id;
    this.versions.update(this.message ?? { id: "" });
    this.steps.hidden = Boolean(this.transcript) || !(this.run?.metrics?.total_steps > 1);
    this.usage.hidden = !this.runId;
    this.usage.href = `/runs/${this.runId}/`;
    this.usage.textContent = this.#used();
    this.usage.title = texts.to_run;
    this.usage.ariaLabel = `${this.usage.textContent} · ${texts.to_run}`;
  }

  #used() {
    const { texts, page } = this.context;
    const { total_tokens: tokens, cost, currency, duration } = this.run?.metrics ?? {};
    const count = tokens ?? this.message?.models_usage?.total_tokens;
    const parts = [
      count ? filled(texts.tokens, { count: count.toLocaleString(page.language) }) : "",
      cost && Number(cost) > 0 ? `${cost} ${currency}` : "",
      duration ? `${Number(duration).toFixed(1)} s` : "",
    ];
    return parts.filter(Boolean).join(" · ") || texts.to_run;
  }

  /** What was done on the way to a kept answer, told again by its run's events. */
  #replay() {
    this.#isReplay = true;
    this.steps.hidden = true;
    this.work.replaceChildren();
    this.done = new Work(this.work, this.context.texts, this.context.nameOf);
    this.follow();
  }

  #showThoughts({ thought }) {
    if (this.work.childElementCount > 0) return;
    this.done.show([{ kind: "step", thoughts: thought, text: "", calls: [], notes: [], done: true }], null);
  }

  // --- what people decide ---

  #approvalsOf(section, send) {
    const list = section.querySelector("ol");
    return new Approvals({ section, list, reject: part("reject"), edit: part("edit") }, this.context.texts, this.context.page.may.decide, send);
  }

  #send(command) {
    const isSent = this.#socket?.send(command) ?? false;
    // The button that had the focus goes.
    if (isSent && command.action === "approve") this.root.focus({ preventScroll: true });
    if (!isSent) this.#tell({ ok: false, error: { message: this.context.texts.not_connected } });
    return isSent;
  }

  #tell({ ok, error }) {
    this.context.tell(ok ? "" : error.message);
  }

  /** A run below that waits for a person asks here, too. */
  #watch(id) {
    if (this.#children.has(id)) return;
    const { texts, nameOf } = this.context;
    const title = element("h3", "", texts.decide);
    const section = element("section", "approvals", title, element("ol"));
    section.hidden = true;
    this.cards.after(section);
    nameOf(id).then((name) => name && title.append(` · ${name}`));
    const transcript = new Transcript();
    let approvals = null;
    const socket = new RunSocket(`/ws/runs/${id}/`, {
      lastSeq: () => transcript.lastSeq,
      onEvent: (event) => {
        transcript.apply(event);
        if (event.type === "run_waiting") event.data.children.forEach((child) => this.#watch(child));
        this.context.stays(() => approvals.show(transcript.open));
      },
      onAnswer: (answer) => approvals.hear(answer) || this.#tell(answer),
      onState: () => {},
    });
    approvals = this.#approvalsOf(section, (command) => socket.send(command));
    this.#children.set(id, { socket });
    socket.open();
  }

  // --- where the answer is from ---

  get #citations() {
    const given = this.message?.metadata?.citations;
    return Array.isArray(given) ? given.filter((one) => Number.isInteger(one?.n)) : [];
  }

  #sourceId(number) {
    return `source-${this.message.id}-${number}`;
  }

  #footnote(number) {
    if (!this.#citations.some(({ n }) => n === number)) return null;
    const link = element("a", "cite", String(number));
    link.href = `#${this.#sourceId(number)}`;
    link.ariaLabel = filled(this.context.texts.source, { number });
    link.addEventListener("click", (event) => {
      event.preventDefault();
      this.sources.open = true;
      const source = document.getElementById(this.#sourceId(number));
      source.scrollIntoView({ block: "nearest" });
      source.focus();
    });
    return element("sup", "", link);
  }

  #showSources() {
    const { texts } = this.context;
    const cited = this.#citations;
    this.sources.hidden = cited.length === 0;
    if (cited.length === 0 || this.sources.childElementCount > 0) return;
    const items = cited.map(({ n, document: name, place, text }) => {
      const item = element("li", "", element("p", "", element("strong", "", `${n}. ${name ?? ""}`), place ? ` · ${place}` : ""), element("blockquote", "", text ?? ""));
      item.id = this.#sourceId(n);
      item.tabIndex = -1;
      return item;
    });
    this.sources.append(element("summary", "", filled(texts.sources, { count: cited.length })), element("ul", "", ...items));
  }
}
