// What a run's events add up to: pure data, no page. Events are the envelopes of the WebSocket.
//
// A lost worker's attempt is superseded: what it did after its last checkpoint is void, and the steps begin
// again from there. A model call that is made again voids the text that it had streamed. What was used stays
// used in both cases.

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
  "run_queued", "run_started", "attempt_started", "run_pausing", "run_paused", "run_resumed", "budget_warning",
]);

export class Transcript {
  lastSeq = 0;
  status = "";
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
    if (event.type === "attempt_started") {
      this.#rewind(event);
      return "all";
    }
    this.#valid.push(event);
    return this.#reduce(event);
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

  /** Goes back to the checkpoint that the new attempt goes on from. */
  #rewind(event) {
    const last = event.data.supersedes_after_seq;
    this.#valid = this.#valid.filter((one) => one.seq <= last || aboutTheRun.has(one.type));
    this.#valid.push(event);
    this.items = [];
    this.#valid.forEach((one) => this.#reduce(one));
  }

  #reduce(event) {
    const { type, data } = event;
    switch (type) {
      case "step_started":
        return this.#step(event, data.type);
      case "content_delta":
        return this.#change(event, (step) => (step.text += data.content ?? ""));
      case "thought_delta":
        return this.#change(event, (step) => (step.thoughts += data.content ?? ""));
      case "retrying":
        return this.#change(event, (step) => {
          step.text = step.thoughts = "";
          step.notes.push(event);
        });
      case "step_completed":
        return this.#change(event, (step) => Object.assign(step, { done: true, duration: data.duration }));
      case "tool_call_started":
        return this.#change(event, (step) => step.calls.push(startedCall(data)));
      case "tool_call_progress":
      case "tool_call_completed":
      case "tool_call_failed":
        return this.#change(event, (step) => endCall(step, type, data));
      default:
        return this.#note(event);
    }
  }

  #step(event, type = "model") {
    const step = {
      kind: "step", number: event.step, type, text: "", thoughts: "", calls: [], notes: [], done: false, duration: null,
    };
    this.items.push(step);
    return step;
  }

  #change(event, change) {
    const known = this.items.findLast((item) => item.kind === "step" && item.number === event.step);
    const step = known ?? this.#step(event);
    change(step);
    return step;
  }

  #note(event) {
    const worthNoting = event.type === "run_queued" ? Boolean(event.data.reason) : noted.has(event.type);
    if (!worthNoting) return null;
    const note = { kind: "note", event };
    this.items.push(note);
    return note;
  }
}

const noted = new Set([
  "attempt_started", "run_paused", "run_resumed", "budget_warning", "approval_required", "approval_resolved",
]);

function startedCall(data) {
  return { id: data.call_id, tool: data.tool ?? "", args: data.args ?? data, state: "running", result: null, duration: null };
}

/** A result over 64 KB is stored apart, and its event then names no call: it belongs to the first one that is open. */
function endCall(step, type, data) {
  const call = step.calls.find((one) => one.id === data.call_id) ?? step.calls.find((one) => one.state === "running");
  if (!call || type === "tool_call_progress") return;
  call.state = type === "tool_call_failed" ? "failed" : "completed";
  call.result = data.payload_id ? `${data.preview} …` : (data.error ?? data.result ?? null);
  call.duration = data.duration ?? null;
}
