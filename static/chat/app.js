// The chat page: which conversation is open, and what the parts of the page tell each other.

import { element } from "../runs/elements.js";
import { Api } from "./api.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { download } from "./messages.js";
import { faultText, part } from "./parts.js";
import { Sidebar } from "./sidebar.js";

const page = JSON.parse(part("page").textContent);
const { texts } = page;
const api = new Api(page);
// Other tabs of this browser hear at once what happens here; those of others look for themselves.
const tabs = new BroadcastChannel("chat");
let making = null;
let visits = 0;

const sidebar = new Sidebar(page, api, (id, messageId) => go(id, messageId));
const conversation = new Conversation(page, api, { changed: showState, opens: openBranch, tell, told });
const composer = page.may.write ? new Composer(page, api, { send, stop: () => conversation.stop(), session: sessionId }) : null;

tabs.onmessage = ({ data }) => {
  sidebar.refresh();
  if (data.session === conversation.session?.id) conversation.refresh({ anew: data.what === "selected" }).catch(() => {});
};

/** Something has happened here that other tabs, and the list, show too. */
function told(what) {
  const { session } = conversation;
  if (!session) return;
  tabs.postMessage({ session: session.id, what });
  if (what === "ended" || what === "said") sidebar.refresh();
  if (what === "ended") readName(session.id);
}

/** A conversation may get its name from its first answer. */
async function readName(id) {
  const session = await api.get(`/sessions/${id}`).catch(() => null);
  if (!session || conversation.session?.id !== id) return;
  conversation.session = session;
  showState();
}

// --- which conversation ---

async function go(id, messageId = null, { push = true } = {}) {
  closeSidebar();
  visits += 1;
  making = null;
  if (push) history.pushState({}, "", id ? `/c/${id}${messageId ? `#${messageId}` : ""}` : "/");
  tell("");
  sidebar.mark(id);
  composer?.open(id);
  part("welcome").hidden = id !== null;
  try {
    await conversation.open(id, messageId);
  } catch (error) {
    part("messages").ariaBusy = "false";
    tell(error.status === 404 ? texts.gone : faultText(error, texts));
  }
  if (!messageId && matchMedia("(hover: hover)").matches) composer?.focus();
}

function place() {
  const [, id] = location.pathname.match(/^\/c\/([0-9a-f-]{36})$/i) ?? [null, null];
  return [id, /^#[0-9a-f-]{36}$/i.test(location.hash) ? location.hash.slice(1) : null];
}

/** The id of the open conversation; of an empty one, after it has been made. */
async function sessionId() {
  if (conversation.session) return conversation.session.id;
  making ??= makeSession();
  try {
    return (await making).id;
  } finally {
    making = null;
  }
}

async function makeSession() {
  const agent = part("agent").value;
  const visit = visits;
  const session = await api.post("/sessions", agent ? { agent } : {});
  sidebar.put(session);
  // Somebody may have opened another one meanwhile.
  if (visit !== visits) return session;
  history.pushState({}, "", `/c/${session.id}`);
  conversation.session = session;
  composer.rename(session.id);
  part("welcome").hidden = true;
  sidebar.mark(session.id);
  showState();
  return session;
}

async function send(content, attachments) {
  const id = await sessionId();
  if (conversation.session?.id === id) {
    await conversation.send(content, attachments);
  } else {
    await api.post(`/sessions/${id}/chat`, { content, attachments: attachments.map((one) => one.id) });
  }
  sidebar.refresh();
}

function openBranch(session) {
  sidebar.put(session);
  go(session.id);
}

// --- what is shown ---

function showState() {
  const { session } = conversation;
  const name = session ? nameOf(session) : page.may.write ? texts.new_chat : texts.conversations;
  if (!part("title").querySelector("input")) part("title").textContent = name;
  part("title").dir = "auto";
  part("subtitle").textContent = session?.agent ?? "";
  document.title = session ? `${name} · ${page.site}` : page.site;
  part("actions").hidden = !session;
  composer?.showActive(conversation.isActive);
  if (session) sidebar.put(session);
}

const nameOf = ({ name }) => (name === "New session" ? texts.unnamed : name);

function tell(text) {
  part("notice").hidden = !text;
  part("notice").textContent = text;
}

function showAgents() {
  const select = part("agent");
  select.replaceChildren(...page.agents.map(({ name }) => new Option(name, name)));
  select.addEventListener("change", showAgent);
  part("picker").hidden = page.agents.length === 0 || !page.may.write;
  part("welcome-none").hidden = page.agents.length > 0 && page.may.write;
  part("welcome-none").textContent = page.may.write ? texts.no_agents : texts.choose;
  if (!page.may.write) part("welcome-title").textContent = texts.conversations;
  showAgent();
}

function showAgent() {
  const agent = page.agents.find(({ name }) => name === part("agent").value);
  part("agent-description").textContent = agent?.description ?? "";
  const prompts = page.may.write ? (agent?.prompts ?? []) : [];
  part("prompts").replaceChildren(...prompts.map((text) => {
    const prompt = element("button", "", text);
    prompt.type = "button";
    prompt.addEventListener("click", () => composer.fill(text));
    return element("li", "", prompt);
  }));
}

// --- the open conversation's menu ---

function rename() {
  const { session } = conversation;
  part("actions").open = false;
  if (!session || part("title").querySelector("input")) return;
  const field = element("input");
  Object.assign(field, { value: nameOf(session), maxLength: 100, ariaLabel: texts.name });
  let isOver = false;
  const leave = async (isKept) => {
    if (isOver) return;
    isOver = true;
    const name = field.value.trim();
    field.remove();
    if (isKept && name && name !== session.name) await keepName(session, name);
    showState();
  };
  field.addEventListener("blur", () => leave(true));
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    leave(event.key === "Enter");
    part("actions").querySelector("summary").focus();
  });
  part("title").replaceChildren(field);
  field.select();
}

async function keepName(session, name) {
  try {
    const changed = await api.patch(`/sessions/${session.id}`, { name });
    if (conversation.session?.id === session.id) conversation.session = changed;
    sidebar.put(changed);
    told("renamed");
  } catch (error) {
    tell(faultText(error, texts));
  }
}

async function exportAs(format) {
  const { session } = conversation;
  part("actions").open = false;
  try {
    download(await api.blob(`/history/sessions/${session.id}/export`, { format }), `${nameOf(session).replace(/[^\p{L}\p{N} _-]+/gu, "_")}.${format}`);
  } catch (error) {
    tell(faultText(error, texts));
  }
}

function askToDelete() {
  part("actions").open = false;
  part("confirm-name").textContent = nameOf(conversation.session);
  part("confirm").returnValue = "";
  part("confirm").showModal();
}

async function deleteIfConfirmed() {
  const { session } = conversation;
  if (part("confirm").returnValue !== "delete" || !session) return;
  try {
    await api.delete(`/sessions/${session.id}`);
    told("deleted");
    sidebar.remove(session.id);
    go(null);
  } catch (error) {
    tell(error.status === 409 ? texts.busy : faultText(error, texts));
  }
}

// --- the list on phones ---

function openSidebar() {
  document.body.classList.add("open");
  part("scrim").hidden = false;
  part("open-sidebar").ariaExpanded = "true";
  part("close-sidebar").focus();
}

function closeSidebar() {
  if (!document.body.classList.contains("open")) return;
  document.body.classList.remove("open");
  part("scrim").hidden = true;
  part("open-sidebar").ariaExpanded = "false";
  part("open-sidebar").focus();
}

// --- keys ---

function pressed(event) {
  const isTyping = event.target.matches?.("input, textarea, select");
  const isCommand = event.ctrlKey || event.metaKey;
  if (isCommand && !event.shiftKey && event.key.toLowerCase() === "k") act(event, findSomething);
  else if (isCommand && event.shiftKey && event.key.toLowerCase() === "o") act(event, () => composer && go(null));
  else if (isCommand || event.altKey) return;
  else if (event.key === "/" && !isTyping) act(event, findSomething);
  else if (event.key === "?" && !isTyping) act(event, () => part("keys").showModal());
  else if (event.key === "Escape") escape();
}

function act(event, does) {
  if (document.querySelector("dialog[open]")) return;
  event.preventDefault();
  does();
}

function findSomething() {
  if (getComputedStyle(part("open-sidebar")).display !== "none") openSidebar();
  part("search").focus();
}

/** The nearest thing that can be left; otherwise the answer that is coming. */
function escape() {
  if (document.querySelector("dialog[open]")) return;
  const menu = document.querySelector("details.menu[open], details.account[open]");
  if (menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  } else if (document.body.classList.contains("open")) {
    closeSidebar();
  } else {
    conversation.stop();
  }
}

part("new-chat")?.addEventListener("click", (event) => {
  if (event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  go(null);
});
part("rename").hidden = !page.may.write;
part("rename").addEventListener("click", rename);
part("title").addEventListener("dblclick", () => page.may.write && rename());
part("delete").hidden = !page.may.delete;
part("delete").addEventListener("click", askToDelete);
part("confirm").addEventListener("close", deleteIfConfirmed);
document.querySelectorAll("[data-export]").forEach((button) => button.addEventListener("click", () => exportAs(button.dataset.export)));
part("show-keys").addEventListener("click", () => part("keys").showModal());
part("open-sidebar").addEventListener("click", openSidebar);
part("close-sidebar").addEventListener("click", closeSidebar);
part("scrim").addEventListener("click", closeSidebar);
addEventListener("keydown", pressed);
addEventListener("popstate", () => go(...place(), { push: false }));
addEventListener("pageshow", ({ persisted }) => persisted && conversation.refresh().catch(() => {}));
document.addEventListener("visibilitychange", () => document.hidden || sidebar.refresh());
document.addEventListener("click", ({ target }) => {
  document.querySelectorAll("details.menu[open], details.account[open]").forEach((menu) => menu.contains(target) || (menu.open = false));
});

showAgents();
sidebar.refresh();
go(...place(), { push: false });
