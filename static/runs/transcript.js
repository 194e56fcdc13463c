// What a run's events add up to: pure data, no page. Events are the envelopes of the WebSocket.
//
// A lost worker's attempt is superseded: what it did after its last checkpoint is void, and the steps begin
// again from there. Tool calls that have ended stand: they are not made again, nor told again. A model call that is
// made again voids the text that it had streamed. A run that is set back to a checkpoint forgets all that came after.
// What was used stays used in every case.

import { addAmounts } from "./decimal.js";

const statusByType = {
  run_queued: "queued",
  run_started: "running",
  attempt_started: "running",
  run_resumed: "running",
  run_pausing: "pausing",
  run_paused: "paused",
  run_waiting: "waiting",
  run_completed: "completed",
  run_failed: "failed",
  run_cancelled: "cancelled",
};
const terminal = new Set(["completed", "failed", "cancelled"]);
// They tell what happened to the run as a whole, so they outlive the attempt that they were told in.
const aboutTheRun = new Set([
  "run_queued", "run_started", "attempt_started", "run_pausing", "run_paused", "run_waiting", "run_resumed",
  "budget_warning",
]);
const aboutApprovals = new Set(["approval_required", "approval_resolved"]);
const aboutCalls = new Set(["tool_call_started", "tool_call_progress", "tool_call_completed", "tool_call_failed"]);

export class Transcript {
  lastSeq = 0;
  status = "";
  pausedWhy = null;
  queuedAt = null;
  startedAt = null;
  endedAt = null;
  error = null;
  response = null;
  metrics = null;
  usage = { calls: 0, input: 0, output: 0, cost: "0", currency: "", unpriced: 0 };
  items = [];
  #valid = [];

  /** Takes the next event in; answers what it changed: an item, "all", or null for nothing that an item shows. */
  apply(event) {
    this.lastSeq = event.seq;
    this.#follow(event);
    if (event.type === "attempt_started") return this.#rewind(event, this.#outlivesItsAttempt());
    if (event.data.restored_from) return this.#rewind(event, (one) => aboutTheRun.has(one.type));
    this.#valid.push(event);
    const changed = this.#reduce(event);
    return this.ended ? "all" : changed;
  }

  /** What a person has to decide. */
  get open() {
    return this.ended ? [] : this.items.filter((item) => item.kind === "approval" && item.state === "pending");
  }

  get ended() {
    return terminal.has(this.status);
  }

  /** The step whose text is the answer: the last one that has any. */
  get answering() {
    return this.items.findLast((item) => item.kind === "step" && item.text) ?? null;
  }

  get answer() {
    return this.response ?? this.answering?.text ?? "";
  }

  #follow(event) {
    const { type, data } = event;
    this.status = statusByType[type] ?? this.status;
    if (type in statusByType) this.pausedWhy = type === "run_paused" ? data : null;
    if (type === "run_queued") this.queuedAt ??= event.timestamp;
    if (type === "run_started") this.startedAt = event.timestamp;
    if (type === "usage_recorded") this.#use(data);
    if (!terminal.has(statusByType[type])) return;
    this.endedAt = event.timestamp;
    this.error = data.error ?? null;
    this.response = data.response ?? null;
    this.metrics = data.metrics ?? null;
  }

  #use(data) {
    const usage = this.usage;
    usage.calls += 1;
    usage.input += data.input_tokens;
    usage.output += data.output_tokens;
    usage.currency = data.currency;
    if (data.cost === null) usage.unpriced += 1;
    else usage.cost = addAmounts(usage.cost, data.cost);
  }

  /** Goes back to a checkpoint. Of what came after it, that stands which `stands` says. */
  #rewind(event, stands) {
    const last = event.data.supersedes_after_seq;
    this.#valid = this.#valid.filter((one) => one.seq <= last || stands(one));
    this.#valid.push(event);
    this.items = [];
    this.#valid.forEach((one) => this.#reduce(one));
    return "all";
  }

  /** What a superseded attempt leaves behind: what happened to the run, approvals, and nodes and calls that have ended. */
  #outlivesItsAttempt() {
    const ended = this.items.flatMap((item) => (item.calls ?? []).filter((call) => call.state !== "running"));
    const ids = new Set(ended.map((call) => call.id));
    const place = ({ step, node }) => `${step} ${node}`;
    const steps = new Set(this.#valid.filter((one) => one.type === "step_completed").map(place));
    return ({ type, data, step, node }) =>
      aboutTheRun.has(type) || aboutApprovals.has(type) || (step > 0 && steps.has(place({ step, node })))
      // A large result is stored apart, and its event names no call.
      || (aboutCalls.has(type) && (ids.has(data.call_id) || Boolean(data.payload_id)));
  }

  #reduce(event) {
    const { type, data } = event;
    switch (type) {
      case "step_started":
        return this.#begun(event, data.type);
      case "content_delta":
        return this.#say(event, "text");
      case "thought_delta":
        return this.#say(event, "thoughts");
      case "retrying":
        return this.#change(event, (step) => {
          step.text = step.thoughts = "";
          step.firstAt = null;
          step.notes.push(event);
        });
      case "step_completed":
        return this.#change(event, (step) => Object.assign(step, { done: true, duration: data.duration, endedAt: event.timestamp }));
      case "tool_call_started":
        return this.#change(event, (step) => step.calls.push(startedCall(data, event.timestamp)), "tool");
      case "tool_call_progress":
        return this.#change(event, (step) => followCall(step, data), "tool");
      case "tool_call_completed":
      case "tool_call_failed":
        return this.#change(event, (step) => endCall(this.#called(step, event), event), "tool");
      case "approval_required":
        return this.#ask(event);
      case "approval_resolved":
        return this.#resolve(event);
      default:
        return this.#note(event);
    }
  }

  #step(event, type = "model") {
    const step = {
      kind: "step", number: event.step, node: event.node, type, text: "", thoughts: "", calls: [], notes: [], done: false, duration: null,
      begunAt: event.timestamp, firstAt: null, endedAt: null,
    };
    this.items.push(step);
    return step;
  }

  /** A step is begun again where calls that have ended in the attempt before stand. */
  #begun(event, type) {
    const known = this.#stepOf(event);
    return known && !known.done ? known : this.#step(event, type);
  }

  #say(event, field) {
    return this.#change(event, (step) => {
      step[field] += event.data.content ?? "";
      step.firstAt ??= event.timestamp;
    });
  }

  /** Nodes of a workflow that go side by side share their step's number. */
  #stepOf({ step, node }) {
    return this.items.findLast((item) => item.kind === "step" && item.number === step && item.node === node);
  }

  #change(event, change, type = "model") {
    const step = this.#stepOf(event) ?? this.#step(event, type);
    change(step);
    return step;
  }

  /**
   * The call that an event is about. A result over 64 KB is stored apart, and its event then names no call: it belongs to
   * the first one that is open. One that a person has answered or rejected was never started.
   */
  #called(step, { data: { call_id: id, tool }, timestamp }) {
    const known = step.calls.find((one) => (id ? one.id === id : one.state === "running"));
    if (known || !id) return known;
    const asked = this.items.findLast((item) => item.kind === "approval" && item.call === id);
    const call = startedCall({ call_id: id, tool, args: asked?.args ?? "" }, timestamp);
    step.calls.push(call);
    return call;
  }

  #ask({ seq, data, timestamp }) {
    const { approval_id: id = null, call_id: call, kind: why = "tool_call", tool = "", deadline = null } = data;
    const args = data.args ?? data.preview;
    const approval = { kind: "approval", id, seq, call, why, tool, args, deadline, state: "pending", by: "", reason: "", begunAt: timestamp, endedAt: null };
    this.items.push(approval);
    return approval;
  }

  #resolve({ data: { approval_id: id, status, decided_by: by, reason }, timestamp }) {
    const asked = this.items.filter((item) => item.kind === "approval");
    // Arguments over 64 KB are stored apart, and the event that asks then has no id.
    const approval = asked.find((item) => item.id === id) ?? asked.find((item) => !item.id && item.state === "pending");
    return approval ? Object.assign(approval, { state: status, by, reason, endedAt: timestamp }) : null;
  }

  #note(event) {
    if (!isWorthNoting(event)) return null;
    const note = { kind: "note", event };
    this.items.push(note);
    return note;
  }
}

const noted = new Set(["attempt_started", "run_paused", "run_resumed", "budget_warning"]);

/** What a run waits for itself, its approvals tell. */
function isWorthNoting({ type, data }) {
  if (type === "run_queued") return Boolean(data.reason);
  if (type === "run_waiting") return data.children.length > 0;
  return noted.has(type);
}

function startedCall(data, begunAt) {
  const { call_id: id, tool = "", args = data, child_run_id: child = null } = data;
  return { id, tool, args, child, childStatus: "", state: "running", result: null, duration: null, begunAt, endedAt: null };
}

/** An agent as a tool: the run that does the work, and how it stands. */
function followCall(step, data) {
  const call = step.calls.find((one) => one.id === data.call_id);
  if (call) Object.assign(call, { child: data.child_run_id, childStatus: data.status });
}

function endCall(call, { type, data, timestamp }) {
  if (!call) return;
  call.endedAt = timestamp;
  call.state = type === "tool_call_failed" ? "failed" : "completed";
  call.result = data.payload_id ? `${data.preview} …` : (data.error ?? data.result ?? null);
  call.duration = data.duration ?? null;
}
