// The panel beside a form of the admin: tries what the form has, and shows the answer as it comes.

import { element, seconds } from "../runs/elements.js";
import { RunSocket } from "../runs/socket.js";
import { Timeline } from "../runs/timeline.js";
import { Transcript } from "../runs/transcript.js";

const panel = document.getElementById("playground");
const part = (name) => document.getElementById(`playground-${name}`);

let socket = null;

async function ask() {
  clear();
  setBusy(true);
  part("state").textContent = panel.dataset.asking;
  const form = document.querySelector("#content-main form[method=post]");
  const body = new FormData(form);
  body.set("playground_question", part("question").value);
  try {
    const response = await fetch(panel.dataset.address, { method: "POST", body, redirect: "manual" });
    const answer = await response.json();
    if (answer.errors) refuse(answer.errors);
    else if (answer.socket) follow(answer);
    else tell(answer);
  } catch {
    part("state").textContent = "";
    refuse([{ field: "", message: panel.dataset.lost }]);
  }
}

function clear() {
  socket?.close();
  socket = null;
  for (const name of ["errors", "state", "answer", "steps", "facts"]) part(name).replaceChildren();
  delete part("answer").dataset.failed;
}

function setBusy(isBusy) {
  part("ask").disabled = isBusy;
  panel.setAttribute("aria-busy", String(isBusy));
  if (!isBusy) part("stop").hidden = true;
}

function refuse(errors) {
  const lines = errors.map(({ field, message }) => element("li", "", field ? `${field}: ${message}` : message));
  part("state").textContent = "";
  part("errors").replaceChildren(element("p", "", panel.dataset.refused), element("ul", "", ...lines));
  setBusy(false);
}

/** The result of one call of a model or a tool. */
function tell({ ok, latency_ms: latency, text }) {
  part("state").textContent = ok ? "" : panel.dataset.failed;
  if (!ok) part("answer").dataset.failed = "";
  part("answer").textContent = text;
  part("facts").textContent = `${latency} ms`;
  setBusy(false);
}

/** The run of an agent: its answer, its steps, and what it took. */
function follow({ socket: path, page, texts }) {
  const transcript = new Transcript();
  const timeline = new Timeline(part("steps"), texts);
  const link = element("a", "", panel.dataset.open);
  link.href = page;
  let awaitsFrame = false;

  function show() {
    awaitsFrame = false;
    timeline.show(transcript.items);
    part("answer").textContent = transcript.answer;
    part("state").textContent = texts[`status_${transcript.status}`] ?? "";
    const { usage, metrics, error } = transcript;
    const facts = [seconds(metrics?.duration), `${usage.input} + ${usage.output} ${texts.limit_max_tokens}`];
    if (usage.calls > usage.unpriced) facts.push(`${usage.cost} ${usage.currency}`);
    part("facts").replaceChildren(facts.filter(Boolean).join(" · "), " · ", link);
    if (error) {
      part("answer").dataset.failed = "";
      part("answer").textContent = `${error.class}: ${error.message}`;
    }
    if (transcript.ended) setBusy(false);
  }

  part("stop").hidden = false;
  part("facts").replaceChildren(link);
  socket = new RunSocket(path, {
    lastSeq: () => transcript.lastSeq,
    onEvent(event) {
      transcript.apply(event);
      if (awaitsFrame) return;
      awaitsFrame = true;
      setTimeout(show, 50);
    },
    onAnswer() {},
    onState(state, reason) {
      if (state === "refused") refuse([{ field: "", message: reason }]);
    },
  });
  socket.open();
}

if (panel) {
  part("ask").addEventListener("click", ask);
  part("stop").addEventListener("click", () => socket?.send({ action: "cancel" }));
  part("question").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !part("ask").disabled) ask();
  });
}
