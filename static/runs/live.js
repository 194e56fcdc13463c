// The live page of a run: its events come over a WebSocket, are added up by the transcript, and shown once per frame.

import { Approvals } from "./approvals.js";
import { LivePicture } from "../workflows/live_picture.js";
import { seconds } from "./elements.js";
import { EventLog } from "./event_log.js";
import { RunSocket } from "./socket.js";
import { Timeline, noteText } from "./timeline.js";
import { Transcript } from "./transcript.js";
import { Waterfall } from "./waterfall.js";

const page = JSON.parse(document.getElementById("page").textContent);
const { texts } = page;
const part = (name) => document.getElementById(name);

const transcript = new Transcript();
const timeline = new Timeline(part("steps"), texts);
const waterfall = new Waterfall(part("waterfall"), part("waterfall-bars"), texts);
const log = new EventLog(part("log"), part("log-count"));
const picture = page.picture ? new LivePicture(part("workflow-picture"), page.picture) : null;
const changed = new Set();
const pausable = new Set(["queued", "running", "waiting"]);
const resumable = new Set(["pausing", "paused"]);
let awaitsFrame = false;

const socket = new RunSocket(page.socket, {
  lastSeq: () => transcript.lastSeq,
  onEvent(event) {
    changed.add(transcript.apply(event));
    log.add(event);
    picture?.hear(event);
    showSoon();
  },
  onAnswer(answer) {
    if (!approvals.hear(answer)) tell(answer.ok ? "" : answer.error.message);
  },
  onState: showConnection,
});

const approvals = new Approvals(
  { section: part("approvals"), list: part("approvals-list"), reject: part("reject"), edit: part("edit") },
  texts, page.may_decide, send,
);

/** Many events in one frame are one change of the page. */
function showSoon() {
  if (awaitsFrame) return;
  awaitsFrame = true;
  // A hidden page has no frames, but its title and status should still be right when somebody looks.
  if (document.hidden) setTimeout(show, 250);
  else requestAnimationFrame(show);
}

function show() {
  awaitsFrame = false;
  if (changed.has("all")) timeline.show(transcript.items);
  else changed.forEach((item) => item && timeline.update(item));
  changed.clear();
  showAnswer(transcript.answer);
  showStatus(transcript.status || page.status);
  approvals.show(transcript.open);
  showUsage();
  waterfall.show(transcript, Date.now());
  part("steps-empty").hidden = transcript.items.length > 0;
}

/** What was said stays in the page, and new words are appended, so that screen readers read only those. */
function showAnswer(text) {
  const answer = part("answer");
  const before = answer.textContent;
  if (text.startsWith(before)) answer.append(text.slice(before.length));
  else answer.textContent = text;
  answer.normalize();
  part("answer-empty").hidden = text !== "" || transcript.ended;
}

function showStatus(status) {
  const badge = part("status");
  if (badge.dataset.status !== status) {
    badge.dataset.status = status;
    badge.textContent = texts[`status_${status}`] ?? status;
    document.title = `${badge.textContent} · ${page.title}`;
  }
  offerVerbs(status);
  const { error } = transcript;
  part("error").hidden = !error;
  part("error-class").textContent = error?.class ?? "";
  part("error-message").textContent = error?.message ?? "";
}

function showUsage() {
  const { usage, metrics } = transcript;
  part("tokens-in").textContent = usage.input.toLocaleString(page.language);
  part("tokens-out").textContent = usage.output.toLocaleString(page.language);
  part("calls").textContent = usage.calls.toLocaleString(page.language);
  part("cost").textContent = cost(usage);
  part("duration").textContent = seconds(metrics?.duration ?? elapsed());
}

function cost({ calls, unpriced, cost: amount, currency }) {
  if (calls === 0) return "–";
  if (unpriced === calls) return texts.unpriced;
  return `${amount} ${currency}${unpriced ? ` + ${texts.unpriced}` : ""}`;
}

/** Seconds since the start, to the end or, while the run goes on, to now. */
function elapsed() {
  if (!transcript.startedAt) return null;
  const end = transcript.endedAt ? Date.parse(transcript.endedAt) : Date.now();
  return Math.max(0, (end - Date.parse(transcript.startedAt)) / 1000);
}

function showConnection(state, reason) {
  const connection = part("connection");
  connection.dataset.state = state;
  connection.textContent = texts[`connection_${state}`] ?? "";
  if (state === "refused") tell(reason);
}

/** Says something once; an empty text takes it back. */
function tell(message) {
  part("notice").hidden = !message;
  part("notice").textContent = message;
}

/** Only the buttons that make sense now; none where the reader may not steer the run. */
function offerVerbs(status) {
  if (!part("verbs")) return;
  if (transcript.ended) {
    part("confirm").close("");
    part("more").close("");
    part("verbs").remove();
    return;
  }
  part("start").hidden = status !== "created";
  part("pause").hidden = !pausable.has(status);
  part("resume").hidden = !resumable.has(status);
}

/** Sends a command; false, and said, while there is no connection. */
function send(command) {
  const isSent = socket.send(command);
  if (!isSent) tell(texts.not_connected);
  return isSent;
}

/** Where the budget is spent, resuming needs more of it. */
function resume() {
  const why = transcript.pausedWhy;
  if (why?.reason !== "budget_exceeded") {
    send({ action: "resume" });
    return;
  }
  part("more-why").textContent = noteText(texts, { type: "run_paused", data: why });
  part("more-value").value = why.value;
  part("more").returnValue = "";
  part("more").showModal();
}

function resumeWithMore() {
  if (part("more").returnValue !== "resume") return;
  send({ action: "resume", limits: { [transcript.pausedWhy?.limit]: part("more-value").value } });
}

function askToCancel() {
  part("confirm").returnValue = "";
  part("confirm").showModal();
}

function cancelIfConfirmed() {
  if (part("confirm").returnValue !== "cancel" || transcript.ended) return;
  send({ action: "cancel" });
}

part("start")?.addEventListener("click", () => send({ action: "start" }));
part("pause")?.addEventListener("click", () => send({ action: "pause" }));
part("resume")?.addEventListener("click", resume);
part("more").addEventListener("close", resumeWithMore);
part("cancel")?.addEventListener("click", askToCancel);
part("confirm").addEventListener("close", cancelIfConfirmed);
/** Time goes on without events, too. */
function tick() {
  if (transcript.ended || document.hidden) return;
  showUsage();
  waterfall.show(transcript, Date.now());
}

setInterval(tick, 1000);

socket.open();
