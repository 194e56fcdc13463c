// Where a message is written: text and files, sent by Enter; what is typed is kept until it has been sent.

import { element, filled } from "../runs/elements.js";
import { ApiError } from "./api.js";
import { faultText, icon, iconButton, part, size } from "./parts.js";

const KEPT = "draft:";

export class Composer {
  // The conversation that is written for; another object for each that is opened, so that what is sent stays with its own.
  #place = { id: null };
  #files = [];
  #before = Promise.resolve();

  /** `hooks`: `send(content, attachments)`, `stop()`, and `session()`: the id of the conversation, made where there is none. */
  constructor(page, api, hooks) {
    Object.assign(this, { page, api, hooks });
    this.form = part("composer");
    this.text = part("message");
    this.form.addEventListener("submit", (event) => this.#submit(event));
    this.text.addEventListener("input", () => this.#typed());
    this.text.addEventListener("keydown", (event) => this.#pressed(event));
    this.text.addEventListener("paste", (event) => this.#pasted(event));
    part("stop").addEventListener("click", () => hooks.stop());
    part("attach").addEventListener("click", () => part("files").click());
    part("files").addEventListener("change", ({ target }) => {
      this.#attach([...target.files]);
      target.value = "";
    });
    this.#catchDrops();
  }

  /** Another conversation, with what was typed for it before. */
  open(id) {
    this.#place = { id };
    this.#files = [];
    this.text.value = stored(this.#place);
    this.tell("");
    this.#showFiles();
    this.#grow();
    this.#offer();
  }

  /** A conversation that has been made for what is being written here. */
  rename(id) {
    store(this.#place, "");
    this.#place.id = id;
    store(this.#place, this.text.value);
  }

  fill(text) {
    this.text.value = text;
    this.#typed();
    this.text.focus();
  }

  focus() {
    this.text.focus();
  }

  /** Whether there is something to stop. */
  showActive(isActive) {
    part("stop").hidden = !isActive;
  }

  tell(text) {
    part("composer-fault").hidden = !text;
    part("composer-fault").textContent = text;
  }

  #typed() {
    store(this.#place, this.text.value);
    this.#grow();
    this.#offer();
  }

  #grow() {
    this.text.style.height = "auto";
    this.text.style.height = `${Math.min(this.text.scrollHeight + 2, innerHeight * 0.4)}px`;
  }

  #offer() {
    const isReady = this.text.value.trim() !== "" && this.#files.every(({ sent }) => sent);
    part("send").disabled = !isReady;
  }

  #pressed(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    if (!part("send").disabled) this.form.requestSubmit();
  }

  async #submit(event) {
    event.preventDefault();
    if (part("send").disabled) return;
    const content = this.text.value;
    const files = this.#files;
    const place = this.#place;
    this.#empty();
    this.tell("");
    // What is sent while another message is on its way goes after it.
    const sending = this.#before.then(() => this.#send(place, content, files.map(({ sent }) => sent)));
    this.#before = sending.catch(() => {});
    try {
      await sending;
      if (this.#place === place) store(place, this.text.value);
    } catch (error) {
      if (this.#place !== place) {
        store(place, content);
        return;
      }
      // Nothing that was typed is lost, what was typed meanwhile included.
      this.text.value = this.text.value ? `${content}\n${this.text.value}` : content;
      this.#files = [...files, ...this.#files];
      this.#showFiles();
      this.#typed();
      this.tell(faultText(error, this.page.texts));
    }
  }

  /** Somebody may have opened another conversation meanwhile. */
  #send(place, content, attachments) {
    if (this.#place === place) return this.hooks.send(content, attachments);
    if (place.id === null) throw new ApiError(0);
    return this.api.post(`/sessions/${place.id}/chat`, { content, attachments: attachments.map(({ id }) => id) });
  }

  #empty() {
    this.text.value = "";
    this.#files = [];
    this.#showFiles();
    this.#grow();
    this.#offer();
  }

  // --- files ---

  #pasted(event) {
    const files = [...event.clipboardData.files];
    if (files.length === 0) return;
    event.preventDefault();
    this.#attach(files);
  }

  #catchDrops() {
    let depth = 0;
    const over = (isOver) => (part("drop").hidden = !isOver);
    const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
    addEventListener("dragenter", (event) => holdsFiles(event) && over((depth += 1) > 0));
    addEventListener("dragleave", (event) => holdsFiles(event) && over((depth -= 1) > 0));
    addEventListener("dragover", (event) => holdsFiles(event) && event.preventDefault());
    addEventListener("drop", (event) => {
      if (!holdsFiles(event)) return;
      event.preventDefault();
      depth = 0;
      over(false);
      this.#attach([...event.dataTransfer.files]);
    });
  }

  async #attach(files) {
    this.tell("");
    const added = files.map((file) => ({ file, sent: null }));
    this.#files.push(...added);
    this.#showFiles();
    this.#offer();
    for (const one of added) await this.#upload(one);
    this.text.focus();
  }

  async #upload(one) {
    try {
      one.sent = await this.api.upload(`/sessions/${await this.hooks.session()}/attachments`, one.file);
    } catch (error) {
      this.#drop(one);
      this.tell(filled(this.page.texts.not_attached, { name: one.file.name, why: faultText(error, this.page.texts) }));
    }
    this.#showFiles();
    this.#offer();
  }

  #drop(one) {
    this.#files = this.#files.filter((other) => other !== one);
    this.#showFiles();
    this.#offer();
  }

  #showFiles() {
    part("chips").hidden = this.#files.length === 0;
    part("chips").replaceChildren(...this.#files.map((one) => this.#chip(one)));
  }

  #chip(one) {
    const { file, sent } = one;
    const take = iconButton("close", filled(this.page.texts.detach, { name: file.name }), () => {
      this.#drop(one);
      if (one.sent) this.api.delete(`/attachments/${one.sent.id}`).catch(() => {});
    });
    const name = element("span", "name", file.name);
    const chip = element("li", sent ? "" : "sending", this.#thumbnail(file), name, element("span", "size", size(file.size)), take);
    chip.ariaBusy = String(!sent);
    return chip;
  }

  #thumbnail(file) {
    if (!/^image\/(png|jpeg|gif|webp)$/.test(file.type)) return icon("file");
    const picture = element("img");
    picture.alt = "";
    picture.src = URL.createObjectURL(file);
    picture.addEventListener("load", () => URL.revokeObjectURL(picture.src));
    return picture;
  }
}

function stored({ id }) {
  try {
    return sessionStorage.getItem(KEPT + (id ?? "new")) ?? "";
  } catch {
    return "";
  }
}

function store({ id }, text) {
  const key = KEPT + (id ?? "new");
  try {
    if (text) sessionStorage.setItem(key, text);
    else sessionStorage.removeItem(key);
  } catch {
    // Without storage a text is kept as long as the page is.
  }
}
