// A person's message: its text as it was written, its files, and the buttons that change it.

import { element } from "../runs/elements.js";
import { copyText, iconButton, icon, size } from "./parts.js";
import { plain } from "./markdown.js";

export class QuestionView {
  #shown = "";

  /** `context`: `{texts, api, mayWrite, edit(message, text), select(id)}`. */
  constructor(context) {
    this.context = context;
    const { texts } = context;
    this.who = element("h2", "visually-hidden", texts.you);
    this.text = element("div", "bubble");
    this.files = element("ul", "files");
    this.files.ariaLabel = texts.attachments;
    this.copy = iconButton("copy", texts.copy, () => copyText(this.copy, this.message.content, texts));
    this.editing = iconButton("edit", texts.edit, () => this.#edit());
    this.versions = new Versions(context);
    this.foot = element("div", "foot", this.versions.root, this.copy, ...(context.mayWrite ? [this.editing] : []));
    this.root = element("li", "message question", this.who, this.files, this.text, this.foot);
    this.root.tabIndex = -1;
  }

  /** `message` as the history has it; one without an id is on its way. */
  update(message) {
    this.message = message;
    this.root.dataset.id = message.id ?? "";
    this.root.classList.toggle("sending", !message.id);
    this.foot.hidden = !message.id;
    if (message.source !== "user") {
      this.who.textContent = message.source;
      this.who.className = "name";
    }
    // What was said in another conversation can be read and branched, not said otherwise.
    this.editing.hidden = message.source !== "user" || !message.run_id;
    this.versions.update(message);
    const shown = JSON.stringify([message.content, message.attachments]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.text.replaceChildren(plain(message.content, this.context.texts));
    this.files.replaceChildren(...(message.attachments ?? []).map((file) => fileItem(file, this.context)));
    this.files.hidden = !message.attachments?.length;
  }

  #edit() {
    const { texts } = this.context;
    const area = element("textarea", "");
    area.value = this.message.content;
    area.rows = Math.min(12, this.message.content.split("\n").length + 1);
    area.ariaLabel = texts.edit;
    const cancel = element("button", "quiet", texts.cancel);
    cancel.type = "button";
    const form = element("form", "editing", area, element("p", "hint", texts.edit_hint), element("div", "buttons", cancel, element("button", "primary", texts.send)));
    const leave = () => {
      form.remove();
      this.text.hidden = this.foot.hidden = false;
      this.editing.focus();
    };
    cancel.addEventListener("click", leave);
    form.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        leave();
      } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        form.requestSubmit();
      }
    });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (!area.value.trim()) return;
      form.inert = true;
      if (await this.context.edit(this.message, area.value)) leave();
      else form.inert = false;
    });
    this.text.hidden = this.foot.hidden = true;
    this.text.after(form);
    area.focus();
  }
}

/** `‹ 2/3 ›`: the versions of a message; each leads to the branch that it belongs to. */
export class Versions {
  constructor({ texts, select }) {
    this.texts = texts;
    this.select = select;
    this.before = iconButton("left", texts.version_before, () => this.#go(-1));
    this.after = iconButton("right", texts.version_after, () => this.#go(1));
    this.count = element("span", "");
    this.root = element("span", "versions", this.before, this.count, this.after);
    this.root.role = "group";
    this.root.ariaLabel = texts.versions;
  }

  update({ id, variants = [] }) {
    this.variants = variants;
    this.place = variants.indexOf(id);
    this.root.hidden = variants.length < 2 || this.place < 0;
    this.count.textContent = `${this.place + 1}/${variants.length}`;
    this.before.disabled = this.place <= 0;
    this.after.disabled = this.place >= variants.length - 1;
  }

  #go(step) {
    this.select(this.variants[this.place + step]);
  }
}

/** A file of a message: a picture as one, anything else by its name. */
function fileItem(file, { api, texts }) {
  const open = element("button", "file", icon("file"), element("span", "name", file.name), element("span", "size", size(file.size)));
  open.type = "button";
  open.title = texts.download;
  open.addEventListener("click", async () => download(await api.blob(`/attachments/${file.id}/content`), file.name));
  if (file.media_type.startsWith("image/")) showPicture(open, file, api);
  return element("li", "", open);
}

/** Fetched, not linked: the workspace is told by a header. */
async function showPicture(open, file, api) {
  const picture = element("img");
  picture.alt = file.name;
  picture.addEventListener("load", () => {
    URL.revokeObjectURL(picture.src);
    open.classList.add("picture");
    open.replaceChildren(picture);
  });
  const bytes = await api.blob(`/attachments/${file.id}/content`).catch(() => null);
  if (bytes) picture.src = URL.createObjectURL(bytes);
}

export function download(blob, name) {
  const link = element("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
