// Makes an editor of the document's text area: completion, problems as one types, and the picture beside it.
// Without it the text area stays what it is, and saving says what is wrong.

import {
  EditorState, EditorView, HighlightStyle, autocompletion, basicSetup, indentUnit, lintGutter, setDiagnostics,
  syntaxHighlighting, tags, yaml,
} from "../vendor/codemirror-6.0.2/codemirror.js";
import { Vocabulary } from "./completion.js";
import { keepReadable } from "./live_picture.js";

const QUIET_FOR = 300;

const theme = EditorView.theme({
  "&": { color: "var(--editor-ink)", backgroundColor: "transparent" },
  "&.cm-focused": { outline: "none" },
  ".cm-content": { caretColor: "var(--editor-ink)" },
  ".cm-cursor": { borderLeftColor: "var(--editor-ink)" },
  ".cm-gutters": { color: "var(--editor-faint)", backgroundColor: "transparent", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--editor-line)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "var(--editor-selection)",
  },
  ".cm-tooltip": { color: "var(--editor-ink)", backgroundColor: "var(--editor-paper)", borderColor: "var(--editor-border)" },
  ".cm-tooltip-autocomplete > ul > li[aria-selected]": { color: "#fff", backgroundColor: "#6d28d9" },
  ".cm-panels": { color: "var(--editor-ink)", backgroundColor: "var(--editor-paper)" },
  ".cm-diagnostic": { color: "var(--editor-ink)" },
});
const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--editor-key)" },
  { tag: [tags.string, tags.content], color: "var(--editor-text)" },
  { tag: tags.comment, color: "var(--editor-faint)", fontStyle: "italic" },
  { tag: [tags.keyword, tags.bool, tags.number, tags.punctuation, tags.separator], color: "var(--editor-mark)" },
]);

class WorkflowEditor {
  #timer = 0;
  #asked = null;
  #vocabulary = null;
  #outline = { input: [], state: [], nodes: [] };
  #lineByNode = new Map();

  constructor(area) {
    this.area = area;
    this.texts = JSON.parse(area.dataset.texts);
    this.form = area.form;
    this.#build();
    this.view = new EditorView({ parent: this.text, state: this.#state() });
    area.hidden = true;
    this.form.addEventListener("submit", () => this.#store());
    this.#workspaceField()?.addEventListener("change", () => this.#begin());
    this.#begin();
  }

  #build() {
    this.text = made("div", "workflow-text");
    this.drawing = made("div", "workflow-drawing", made("div"));
    this.drawing.setAttribute("aria-label", this.texts.picture);
    this.drawing.setAttribute("role", "region");
    this.canvas = this.drawing.firstChild;
    this.canvas.tabIndex = 0;
    this.title = made("h3");
    this.title.setAttribute("role", "status");
    this.list = made("ol");
    this.problems = made("section", "workflow-problems", this.title, this.list);
    this.problems.setAttribute("aria-label", this.texts.faults);
    this.canvas.append(made("p", "", this.texts.no_picture));
    this.canvas.addEventListener("click", ({ target }) => this.#goToNode(target.closest("[data-node]")));
    this.area.after(made("div", "workflow-editor", this.text, this.drawing, this.problems));
  }

  #state() {
    return EditorState.create({
      doc: this.area.value,
      extensions: [
        basicSetup,
        yaml(),
        indentUnit.of("  "),
        theme,
        syntaxHighlighting(colours),
        lintGutter(),
        autocompletion({ icons: false, override: [(context) => this.#complete(context)] }),
        EditorView.contentAttributes.of({ "aria-label": this.texts.document, spellcheck: "false", tabindex: "0" }),
        EditorView.updateListener.of((update) => update.docChanged && this.#changed()),
      ],
    });
  }

  #workspaceField() {
    return this.form.elements.namedItem("workspace");
  }

  get #workspace() {
    return this.area.dataset.workspace || this.#workspaceField()?.value || "";
  }

  async #begin() {
    if (!this.#workspace) return;
    this.#check();
    const { vocabulary } = this.area.dataset;
    const response = await fetch(`${vocabulary}?workspace=${encodeURIComponent(this.#workspace)}`);
    if (response.ok) this.#vocabulary = new Vocabulary(await response.json());
  }

  // --- completion ---

  #complete(context) {
    const { doc } = context.state;
    const here = doc.lineAt(context.pos);
    const lines = [];
    for (let number = 1; number < here.number; number++) lines.push(doc.line(number).text);
    lines.push(here.text.slice(0, context.pos - here.from));
    const below = [here.text.slice(context.pos - here.from)];
    for (let number = here.number + 1; number <= Math.min(doc.lines, here.number + 40); number++) {
      below.push(doc.line(number).text);
    }
    const found = this.#vocabulary?.complete(lines, below, this.#outline);
    if (!found || (!context.explicit && !lines.at(-1).trim())) return null;
    return { from: context.pos - found.from, options: found.options, validFor: /^[\w.-]*$/ };
  }

  // --- checking ---

  #changed() {
    this.#store();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#check(), QUIET_FOR);
  }

  #store() {
    this.area.value = this.view.state.doc.toString();
  }

  /** Asks the server about the text as it is; an answer about an older one is dropped. */
  async #check() {
    this.#asked?.abort();
    const asked = (this.#asked = new AbortController());
    try {
      this.#show(await this.#ask(asked.signal));
    } catch (error) {
      if (error.name !== "AbortError") this.#say("unknown", this.texts.unreachable);
    }
  }

  async #ask(signal) {
    const body = new FormData();
    body.set("csrfmiddlewaretoken", this.form.elements.csrfmiddlewaretoken.value);
    body.set("workspace", this.#workspace);
    body.set("workflow", this.area.dataset.workflow);
    body.set("text", this.view.state.doc.toString());
    const response = await fetch(this.area.dataset.check, { method: "POST", body, signal });
    if (!response.ok) throw new Error(response.statusText);
    return response.json();
  }

  #show({ faults, svg, outline }) {
    this.#mark(faults);
    this.list.replaceChildren(...faults.map((fault) => made("li", "", this.#problem(fault))));
    if (faults.length) this.#say("bad", `${this.texts.faults}: ${faults.length}`);
    else this.#say("good", this.texts.no_faults);
    if (svg) this.#draw(svg);
    if (!outline) return;
    this.#lineByNode = new Map(outline.nodes.map(({ id, line }) => [id, line]));
    this.#outline = outline;
  }

  #say(state, text) {
    this.problems.dataset.state = state;
    this.title.textContent = text;
  }

  #problem({ path, message, line }) {
    const button = made("button", "");
    button.type = "button";
    if (line) button.append(this.texts.line.replace("{line}", line), " ");
    if (path) button.append(made("code", "", path));
    button.append(message);
    button.addEventListener("click", () => this.#goTo(line));
    return button;
  }

  #mark(faults) {
    const { doc } = this.view.state;
    const marks = faults.map(({ path, message, line }) => {
      const { from, to, text } = doc.line(Math.min(Math.max(line ?? 1, 1), doc.lines));
      const start = from + text.match(/^[\s-]*/)[0].length;
      return { from: Math.min(start, to), to, severity: "error", message: path ? `${path}: ${message}` : message };
    });
    marks.sort((one, other) => one.from - other.from);
    this.view.dispatch(setDiagnostics(this.view.state, marks));
  }

  /** The drawing is the server's own, and it is read as XML: nothing in it runs. */
  #draw(svg) {
    const drawn = new DOMParser().parseFromString(svg, "image/svg+xml").documentElement;
    if (drawn.nodeName !== "svg") return;
    this.canvas.replaceChildren(document.importNode(drawn, true));
    keepReadable(this.canvas);
  }

  #goToNode(node) {
    if (node) this.#goTo(this.#lineByNode.get(node.dataset.node));
  }

  #goTo(line) {
    if (!line) return;
    const { doc } = this.view.state;
    const { from } = doc.line(Math.min(line, doc.lines));
    this.view.dispatch({ selection: { anchor: from }, effects: EditorView.scrollIntoView(from, { y: "center" }) });
    this.view.focus();
  }
}

function made(tag, className = "", ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

document.querySelectorAll("textarea[data-workflow-editor]").forEach((area) => new WorkflowEditor(area));
