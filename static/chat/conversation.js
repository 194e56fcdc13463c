// The open conversation: its messages, page by page from the newest, and the runs that answer them.

import { AnswerView } from "./answer.js";
import { ApiError } from "./api.js";
import { QuestionView } from "./messages.js";
import { faultText, part } from "./parts.js";

const PAGE = 40;
const LARGEST_PAGE = 200;
const POLL_EVERY = 3_000;
const NEAR = 120;
const active = new Set(["created", "queued", "running", "pausing", "paused", "waiting"]);

export class Conversation {
  #views = new Map();
  #messages = [];
  #runs = new Map();
  #moreRuns = "";
  #hasOlder = false;
  #isLoading = false;
  #sending = [];
  #names = new Map();
  #opened = 0;

  /** `hooks`: `changed()` after each change of what is shown, `opens(session)` for a branch, `tell(text)`, `told(what)`. */
  constructor(page, api, hooks) {
    Object.assign(this, { page, api, hooks, session: null });
    this.list = part("messages");
    this.thread = part("thread");
    this.context = this.#contextOfViews();
    this.thread.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    part("jump").addEventListener("click", () => this.toEnd());
    new ResizeObserver(() => this.#scrolled()).observe(this.thread);
    setInterval(() => this.#poll(), POLL_EVERY);
    document.addEventListener("visibilitychange", () => this.#poll());
  }

  get isActive() {
    return [...this.#views.values()].some((view) => view instanceof AnswerView && view.isLive);
  }

  /** Opens a conversation at its end, or at a message; null: an empty one. Raises ApiError. */
  async open(id, messageId = null) {
    const opened = (this.#opened += 1);
    this.#clear();
    this.hooks.changed();
    if (id === null) return;
    this.list.ariaBusy = "true";
    const [session] = await Promise.all([this.api.get(`/sessions/${id}`), this.#loadNewest(id, opened)]);
    if (opened !== this.#opened) return;
    this.session = session;
    this.list.ariaBusy = "false";
    this.#render();
    if (messageId) await this.#showMessage(messageId);
    else this.toEnd();
  }

  /** Reads the newest page again: somebody has said something, or chosen another branch. */
  async refresh({ anew = false } = {}) {
    const { session } = this;
    const opened = this.#opened;
    if (!session) return;
    if (anew) this.#messages = [];
    await this.#loadNewest(session.id, opened);
    if (opened !== this.#opened) return;
    this.stays(() => this.#render());
  }

  /** Says something in it; raises ApiError where it is refused. */
  async send(content, attachments) {
    const sending = { content, attachments, source: "user" };
    const view = new QuestionView(this.context);
    view.update(sending);
    this.#sending.push(view);
    this.list.append(view.root);
    this.hooks.changed();
    this.toEnd();
    try {
      const body = attachments.length ? { content, attachments: attachments.map(({ id }) => id) } : { content };
      const answer = await this.api.post(`/sessions/${this.session.id}/chat`, body);
      this.#take(answer);
    } finally {
      this.#sending.splice(this.#sending.indexOf(view), 1);
      view.root.remove();
      this.#render();
    }
    this.toEnd();
    this.hooks.told("said");
  }

  async stop() {
    if (!this.session || !this.isActive) return;
    await this.#tried(() => this.api.post(`/sessions/${this.session.id}/stop`));
    await this.#tried(() => this.refresh());
    this.hooks.told("stopped");
  }

  /** Makes a change of the page, and keeps its end in sight where it was. */
  stays(change) {
    const wasAtEnd = this.#isAtEnd;
    change();
    if (wasAtEnd) this.toEnd();
    this.hooks.changed();
  }

  toEnd() {
    this.thread.scrollTop = this.thread.scrollHeight;
  }

  get #isAtEnd() {
    return this.thread.scrollHeight - this.thread.scrollTop - this.thread.clientHeight < NEAR;
  }

  #clear() {
    this.session = null;
    this.list.ariaBusy = "false";
    for (const view of this.#views.values()) view.close?.();
    this.#views.clear();
    this.#messages = [];
    this.#runs.clear();
    this.#moreRuns = "";
    this.#hasOlder = false;
    this.list.replaceChildren();
  }

  #contextOfViews() {
    return {
      page: this.page,
      texts: this.page.texts,
      api: this.api,
      mayWrite: this.page.may.write,
      nameOf: (run) => this.#nameOf(run),
      isFirst: (run) => this.#isFirst(run),
      stays: (change) => this.stays(change),
      tell: (text) => this.hooks.tell(text),
      edit: (message, content) => this.#speakAgain(`${message.id}/edit`, { content }),
      regenerate: (view) => this.#regenerate(view),
      select: (id) => this.#select(id),
      branch: (message) => this.#branch(message),
      ended: () => this.#ended(),
    };
  }

  // --- loading ---

  async #loadNewest(id, opened) {
    const [history, runs] = await Promise.all([
      this.api.get(`/sessions/${id}/history`, { ordering: "-created_at", limit: PAGE }),
      this.api.get("/runs", { session_id: id, limit: PAGE }),
    ]);
    if (opened !== this.#opened) return;
    const items = history.items.reverse();
    const isFirst = this.#messages.length === 0;
    this.#messages = joined(this.#messages, items);
    if (isFirst) this.#hasOlder = history.has_more;
    this.#takeRuns(runs.items);
    if (isFirst) this.#moreRuns = runs.next_cursor ?? "";
  }

  async #loadOlder(limit = PAGE) {
    if (!this.#hasOlder || this.#isLoading || !this.session) return;
    const opened = this.#opened;
    this.#isLoading = true;
    part("older").hidden = false;
    try {
      const offset = this.#messages.length;
      const [history, runs] = await Promise.all([
        this.api.get(`/sessions/${this.session.id}/history`, { ordering: "-created_at", limit, offset }),
        this.#moreRuns ? this.api.get("/runs", { session_id: this.session.id, limit, cursor: this.#moreRuns }) : { items: [] },
      ]);
      if (opened !== this.#opened) return;
      const known = new Set(this.#messages.map(({ id }) => id));
      this.#messages.unshift(...history.items.reverse().filter(({ id }) => !known.has(id)));
      this.#hasOlder = history.has_more;
      this.#moreRuns = runs.next_cursor ?? "";
      this.#takeRuns(runs.items);
      this.#keepPlace(() => this.#render());
    } catch (error) {
      this.hooks.tell(faultText(error, this.page.texts));
    } finally {
      this.#isLoading = false;
      part("older").hidden = true;
    }
  }

  /** What comes in above does not move what somebody reads. */
  #keepPlace(change) {
    const before = this.thread.scrollHeight - this.thread.scrollTop;
    change();
    this.thread.scrollTop = this.thread.scrollHeight - before;
  }

  async #showMessage(id) {
    while (this.#hasOlder && !this.#messages.some((one) => one.id === id)) await this.#loadOlder(LARGEST_PAGE);
    const found = this.list.querySelector(`[data-id="${CSS.escape(id)}"]`);
    if (!found) return this.toEnd();
    found.scrollIntoView({ block: "center" });
    found.classList.add("found");
    found.focus({ preventScroll: true });
  }

  /** Of a conversation that is not open any more nothing is shown. */
  #take({ session, message, run_id: id }) {
    if (session.id !== this.session?.id) return;
    this.session = session;
    if (message && !this.#messages.some((one) => one.id === message.id)) this.#messages.push(message);
    this.#runs.set(id, this.#runs.get(id) ?? { id, status: "queued", agent: session.agent });
  }

  #takeRuns(runs) {
    for (const run of runs) this.#runs.set(run.id, run);
  }

  async #poll() {
    if (document.hidden || !this.session || this.list.ariaBusy === "true") return;
    const opened = this.#opened;
    const { items } = await this.api.get("/runs", { session_id: this.session.id, limit: 20 }).catch(() => ({ items: [] }));
    if (opened !== this.#opened) return;
    const isOther = ({ id, status }) => this.#runs.get(id)?.status !== status && !this.#isFollowed(id);
    if (items.some(isOther)) await this.refresh().catch(() => {});
  }

  #isFollowed(runId) {
    return this.#views.get(`run:${runId}`)?.isLive ?? false;
  }

  // --- showing ---

  /** Questions with their answers, and below each question without one the run that is at work on it. */
  #entries() {
    const entries = [];
    const asked = new Set();
    const answers = new Map();
    for (const message of this.#messages) {
      if (message.run_id === null) continue;
      if (this.#isQuestion(message)) asked.add(message.run_id);
      else answers.set(message.run_id, message);
    }
    for (const message of this.#messages) {
      const run = this.#runs.get(message.run_id);
      if (!this.#isQuestion(message)) {
        // What was asked is told on an earlier page, or by nobody.
        if (!asked.has(message.run_id)) entries.push(answerEntry(message, run));
        continue;
      }
      entries.push({ key: `message:${message.id}`, message });
      const answer = answers.get(message.run_id);
      if (answer) entries.push(answerEntry(answer, run));
      else if (run && run.status !== "completed") entries.push(answerEntry(null, run));
    }
    return entries;
  }

  /** People may speak under other names than `user`; what an agent says has its name. */
  #isQuestion({ source, models_usage: usage, run_id: id }) {
    const run = this.#runs.get(id);
    return source === "user" || (usage === null && run !== undefined && source !== run.agent && source !== run.workflow);
  }

  #render() {
    const entries = this.#entries();
    const wanted = new Set(entries.map(({ key }) => key));
    for (const [key, view] of this.#views) {
      if (wanted.has(key)) continue;
      view.close?.();
      view.root.remove();
      this.#views.delete(key);
    }
    let place = this.list.firstElementChild;
    for (const { key, message, run, isAnswer } of entries) {
      if (!this.#views.has(key)) this.#views.set(key, isAnswer ? new AnswerView(this.context) : new QuestionView(this.context));
      const view = this.#views.get(key);
      if (view.root === place) place = place.nextElementSibling;
      else this.list.insertBefore(view.root, place);
      view.update(message, run);
      if (isAnswer && !message && active.has(run.status)) view.follow();
    }
    this.hooks.changed();
  }

  #isFirst(run) {
    if (!run) return true;
    return ![...this.#views.values()].some((view) => view instanceof AnswerView && view.isLive && view.runId < run.id);
  }

  async #nameOf(run) {
    if (!this.#names.has(run)) {
      this.#names.set(run, this.api.get(`/runs/${run}`).then(({ agent, workflow }) => agent || workflow || "", () => ""));
    }
    return this.#names.get(run);
  }

  #scrolled() {
    part("jump").hidden = this.#isAtEnd;
    if (this.thread.scrollTop < 400) this.#loadOlder();
  }

  // --- what people do with messages ---

  async #ended() {
    this.hooks.told("ended");
    await this.refresh().catch(() => {});
  }

  async #tried(act) {
    this.hooks.tell("");
    try {
      return await act();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.hooks.tell(faultText(error, this.page.texts));
      return null;
    }
  }

  /** Answers true where the conversation goes on from there. */
  async #speakAgain(path, body) {
    const strategy = this.isActive ? { multitask_strategy: "interrupt" } : {};
    const answer = await this.#tried(() => this.api.post(`/sessions/${this.session.id}/messages/${path}`, { ...body, ...strategy }));
    if (!answer) return false;
    this.#take({ ...answer, message: null });
    await this.refresh({ anew: true }).catch(() => {});
    this.toEnd();
    this.hooks.told("said");
    return true;
  }

  /** The answer once more; of a run that has failed, the question's. */
  async #regenerate(view) {
    const question = this.#messages.find((message) => this.#isQuestion(message) && message.run_id === view.runId) ?? this.#messages.findLast((message) => this.#isQuestion(message));
    const message = view.message ?? question;
    if (message) await this.#speakAgain(`${message.id}/regenerate`, {});
  }

  async #select(id) {
    const answer = await this.#tried(() => this.api.post(`/sessions/${this.session.id}/messages/${id}/select`));
    if (!answer) return;
    await this.#tried(() => this.refresh({ anew: true }));
    this.list.querySelector(`[data-id="${CSS.escape(id)}"]`)?.scrollIntoView({ block: "nearest" });
    this.hooks.told("selected");
  }

  async #branch(message) {
    const session = await this.#tried(() => this.api.post(`/sessions/${this.session.id}/branch`, { message_id: message.id }));
    if (session) this.hooks.opens(session);
  }
}

function answerEntry(message, run) {
  return { key: `run:${message?.run_id ?? run?.id ?? message.id}`, message, run, isAnswer: true };
}

/** What was known, up to where the newest page begins, and that page. */
function joined(known, page) {
  if (page.length === 0) return [];
  const place = known.findIndex(({ id }) => id === page[0].id);
  // Without a common message the branch is another one, or more has come than a page holds: read on from here.
  return place < 0 ? page : [...known.slice(0, place), ...page];
}
