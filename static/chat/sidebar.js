// The list of conversations, the newest first, and the search over all of them.

import { element, filled } from "../runs/elements.js";
import { faultText, moment, part } from "./parts.js";

const PAGE = 30;
const PAUSE = 200;

export class Sidebar {
  #items = new Map();
  #more = true;
  #isLoading = false;
  #timer = 0;
  #asked = 0;
  #current = null;

  /** `open(id, messageId)` opens a conversation. */
  constructor(page, api, open) {
    Object.assign(this, { page, api, open });
    this.list = part("conversations");
    this.lists = this.list.closest(".lists");
    this.field = part("search");
    this.lists.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.field.addEventListener("input", () => this.#typed());
    this.field.addEventListener("keydown", (event) => event.key === "Escape" && this.#leave(event));
  }

  /** Reads the newest page; conversations that are new, renamed or moved up are shown so. */
  async refresh() {
    const isFirst = this.#items.size === 0;
    await this.#load(0);
    if (isFirst) this.#scrolled();
  }

  /** Marks the open conversation. */
  mark(id) {
    this.#current = id;
    for (const [key, { link }] of this.#items) {
      if (key === id) link.ariaCurrent = "page";
      else link.removeAttribute("aria-current");
    }
  }

  /** Shows a conversation at the top, or under its new name. */
  put(session) {
    const known = this.#items.get(session.id);
    if (known) known.rename(session.name);
    else this.list.prepend(this.#item(session).root);
    this.#sayState();
    this.mark(this.#current);
  }

  remove(id) {
    this.#items.get(id)?.root.remove();
    this.#items.delete(id);
    this.#sayState();
  }

  async #load(offset) {
    if (this.#isLoading) return;
    this.#isLoading = true;
    try {
      const mine = this.page.may.write ? { mine: "true" } : {};
      const { items, has_more: more } = await this.api.get("/sessions", { ...mine, ordering: "-updated_at", limit: PAGE, offset });
      if (offset > 0 || this.#items.size <= PAGE) this.#more = more;
      this.#show(items, offset);
    } catch (error) {
      part("conversations-state").textContent = faultText(error, this.page.texts);
    } finally {
      this.#isLoading = false;
    }
  }

  #show(sessions, offset) {
    let before = offset === 0 ? this.list.firstElementChild : null;
    for (const session of sessions) {
      const item = this.#items.get(session.id) ?? this.#item(session);
      item.rename(session.name);
      if (item.root === before) before = before.nextElementSibling;
      else if (offset === 0 || !item.root.isConnected) this.list.insertBefore(item.root, before);
    }
    this.mark(this.#current);
    this.#sayState();
  }

  #item({ id, name }) {
    const text = element("span", "", name);
    text.dir = "auto";
    const link = element("a", "", text);
    link.href = `/c/${id}`;
    link.addEventListener("click", (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      this.open(id);
    });
    const rename = (given) => {
      const shown = this.#shown(given);
      if (text.textContent !== shown) text.textContent = link.title = shown;
    };
    rename(name);
    const item = { root: element("li", "", link), link, rename };
    this.#items.set(id, item);
    return item;
  }

  /** What has no name yet is called so in the reader's language. */
  #shown(name) {
    return name === "New session" ? this.page.texts.unnamed : name;
  }

  #sayState() {
    part("conversations-state").textContent = this.#items.size === 0 ? this.page.texts.no_conversations : "";
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.lists;
    if (this.#more && !part("conversations-nav").hidden && scrollHeight - scrollTop - clientHeight < 300) this.#load(this.#items.size);
  }

  // --- search ---

  #typed() {
    clearTimeout(this.#timer);
    const words = this.field.value.trim();
    if (words) this.#timer = setTimeout(() => this.#search(words), PAUSE);
    else this.#showFound(null);
  }

  #leave(event) {
    event.stopPropagation();
    if (!this.field.value) this.field.blur();
    this.field.value = "";
    this.#showFound(null);
  }

  async #search(words) {
    const asked = (this.#asked += 1);
    const mine = this.page.may.write ? { mine: "true" } : {};
    try {
      const found = await this.api.get("/history/search", { ...mine, q: words, limit: PAGE });
      if (asked === this.#asked) this.#showFound(found);
    } catch (error) {
      if (asked !== this.#asked) return;
      this.#showFound({ items: [], total: 0 });
      part("found-state").textContent = faultText(error, this.page.texts);
    }
  }

  #showFound(found) {
    if (!found) this.#asked += 1;
    part("conversations-nav").hidden = found !== null;
    part("found").hidden = found === null;
    part("found-list").replaceChildren(...(found?.items ?? []).map((one) => this.#hit(one)));
    part("found-state").textContent = found ? filled(this.page.texts.found, { count: found.total }) : "";
    this.lists.scrollTop = 0;
  }

  #hit({ message, session_name: name, snippet, matches }) {
    const title = element("strong", "", this.#shown(name));
    const text = element("span", "snippet", ...marked(snippet, matches));
    title.dir = text.dir = "auto";
    const link = element("a", "", title, element("time", "", moment(message.created_at, this.page.language)), text);
    link.href = `/c/${message.session_id}#${message.id}`;
    link.addEventListener("click", (event) => {
      event.preventDefault();
      this.open(message.session_id, message.id);
    });
    return element("li", "", link);
  }
}

/** The places of a snippet are in characters, of which some take two places in a string. */
function marked(snippet, matches) {
  const letters = Array.from(snippet);
  const pieces = [];
  let end = 0;
  for (const [from, to] of matches) {
    pieces.push(letters.slice(end, from).join(""), element("mark", "", letters.slice(from, to).join("")));
    end = to;
  }
  return [...pieces, letters.slice(end).join("")];
}
