// Markdown from models and tools, as elements. What is HTML in it stays text; what comes out of the parser goes through
// a list of allowed elements and attributes; nothing is loaded from anywhere.

import { element } from "../runs/elements.js";
import DOMPurify from "../vendor/dompurify-3.4.18/dompurify.js";
import { Marked } from "../vendor/marked-18.2.1/marked.js";
import { copyText, icon } from "./parts.js";

// Above these a text is shown as it is: a parser's time grows faster than its text, and stacks are finite.
const LONGEST = 100_000;
const DEEPEST = /^[ \t]*(?:>[ \t]*|(?:[-*+]|\d{1,9}[.)])[ \t]+){16,}|^[ \t]{64,}(?:[-*+]|\d{1,9}[.)])[ \t]|[[\]*_~`(<!]{200,}/m;
const FIRST_PART = 20_000;

const allowed = {
  ALLOWED_TAGS: [
    "p", "br", "hr", "strong", "em", "del", "code", "pre", "blockquote", "ul", "ol", "li", "h3", "h4", "h5", "h6",
    "table", "thead", "tbody", "tr", "th", "td", "a",
  ],
  ALLOWED_ATTR: ["href", "title", "start", "align", "data-language"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  ALLOWED_URI_REGEXP: /^(?:https?:\/\/|mailto:)/i,
  RETURN_DOM_FRAGMENT: true,
};

const escape = (text) => text.replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    html: ({ text }) => escape(text),
    // A picture would tell its host who reads this, and when; as a link it is the reader's choice.
    image: ({ href, text }) => `<a href="${escape(href)}">${escape(text || href)}</a>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
    code: ({ text, lang }) => `<pre><code data-language="${escape((lang ?? "").split(/\s/)[0].slice(0, 32))}">${escape(text)}\n</code></pre>`,
    heading({ tokens, depth }) {
      const tag = `h${Math.min(6, depth + 2)}`;
      return `<${tag}>${this.parser.parseInline(tokens)}</${tag}>`;
    },
  },
});

DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.nodeName !== "A" || !node.hasAttribute("href")) return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer nofollow");
});

/** A growing text. Blocks that have not changed stay as they are: selected text stays selected, and long answers are quick. */
export class MarkdownView {
  #blocks = [];
  #text = null;

  /** `cite(number)` answers an element for a footnote's `[number]`, or null. */
  constructor(root, texts, cite = () => null) {
    Object.assign(this, { root, texts, cite });
    root.dir = "auto";
  }

  update(text) {
    if (text === this.#text) return;
    this.#text = text;
    const blocks = blocksOf(text);
    if (blocks === null) this.#showPlain(text);
    else this.#showBlocks(blocks);
  }

  /** Shows it all anew, with footnotes that were not known before. */
  refresh() {
    const text = this.#text;
    this.#text = null;
    this.#blocks = [];
    this.root.replaceChildren();
    if (text !== null) this.update(text);
  }

  #showPlain(text) {
    this.#blocks = [];
    this.root.replaceChildren(plain(text, this.texts));
  }

  #showBlocks(blocks) {
    if (this.#blocks.length === 0) this.root.replaceChildren();
    blocks.forEach((block, place) => {
      const known = this.#blocks[place];
      if (known?.raw === block.raw && known.type === block.type) return;
      const node = this.#made(block);
      if (known) known.node.replaceWith(node);
      else this.root.append(node);
      this.#blocks[place] = { raw: block.raw, type: block.type, node };
    });
    this.#blocks.splice(blocks.length).forEach(({ node }) => node.remove());
  }

  #made(token) {
    const node = element("div", "block", DOMPurify.sanitize(marked.parser([token]), allowed));
    node.querySelectorAll("pre").forEach((pre) => this.#frame(pre));
    node.querySelectorAll("table").forEach((table) => this.#scrolling(table));
    this.#footnotes(node);
    return node;
  }

  #frame(pre) {
    const code = pre.querySelector("code");
    const copy = element("button", "quiet", icon("copy"), this.texts.copy);
    copy.type = "button";
    copy.addEventListener("click", () => copyText(copy, code.textContent, this.texts));
    const frame = element("figure", "code", element("figcaption", "", element("span", "", code?.dataset.language ?? ""), copy));
    pre.replaceWith(frame);
    pre.tabIndex = 0;
    pre.dir = "ltr";
    frame.append(pre);
  }

  #scrolling(table) {
    const frame = element("div", "scroll");
    Object.assign(frame, { tabIndex: 0, role: "region", ariaLabel: this.texts.table });
    table.replaceWith(frame);
    frame.append(table);
  }

  #footnotes(node) {
    const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode()) {
      const text = walker.currentNode;
      if (/\[\d{1,3}\]/.test(text.data) && !text.parentElement.closest("a, code, pre")) found.push(text);
    }
    for (const text of found) {
      text.replaceWith(...text.data.split(/(\[\d{1,3}\])/).map((piece) => (/^\[\d+\]$/.test(piece) && this.cite(Number(piece.slice(1, -1)))) || piece));
    }
  }
}

/** The top of the parsed text; null where it is better shown as it is. */
function blocksOf(text) {
  if (text.length > LONGEST || DEEPEST.test(text)) return null;
  try {
    return marked.lexer(text).filter(({ type }) => type !== "space" && type !== "def");
  } catch {
    return null;
  }
}

/** A text as it was written; of a very long one the first part, and the rest when somebody asks for it. */
export function plain(text, texts) {
  const shown = element("div", "plain", text.length > FIRST_PART ? text.slice(0, FIRST_PART) : text);
  shown.dir = "auto";
  if (text.length <= FIRST_PART) return shown;
  const more = element("button", "more", texts.show_all.replace("{count}", text.length.toLocaleString(document.documentElement.lang)));
  more.type = "button";
  more.addEventListener("click", () => {
    more.remove();
    shown.append(text.slice(FIRST_PART));
  });
  return element("div", "long", shown, more);
}
