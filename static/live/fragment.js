// A part of a page that the server renders, fetched again every few seconds while somebody looks at it.

// After failures, each time twice as long.
const LONGEST = 60_000;

export class LiveFragment {
  #timer = 0;
  #wait;
  #last = "";
  #state = "live";

  /** `onState` hears of `live`, `paused`, `lost` (goes on trying), `refused` (signed out) and `ended` (all is told). */
  constructor(root, { address, every, onState = () => {} }) {
    this.root = root;
    this.address = address;
    this.every = this.#wait = every;
    this.onState = onState;
    document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(this.#timer) : this.refresh()));
    this.#schedule();
  }

  pause() {
    clearTimeout(this.#timer);
    this.#say("paused");
  }

  resume() {
    this.#say("live");
    this.refresh();
  }

  async refresh() {
    if (this.#isAtRest()) return;
    clearTimeout(this.#timer);
    try {
      const response = await fetch(this.address, { redirect: "manual" });
      if (response.type === "opaqueredirect" || [401, 403, 404].includes(response.status)) {
        this.#say("refused");
        return;
      }
      if (!response.ok) throw new Error(response.statusText);
      const text = await response.text();
      if (this.#isAtRest()) return;
      this.#show(text);
      this.#wait = this.every;
      this.#say(response.headers.get("X-Fragment") === "final" ? "ended" : "live");
    } catch {
      this.#wait = Math.min(this.#wait * 2, LONGEST);
      if (!this.#isAtRest()) this.#say("lost");
    }
    this.#schedule();
  }

  #isAtRest() {
    return ["paused", "refused", "ended"].includes(this.#state);
  }

  /** Nobody looks at a hidden page, so it asks for nothing. */
  #schedule() {
    clearTimeout(this.#timer);
    if (document.hidden || this.#isAtRest()) return;
    this.#timer = setTimeout(() => this.refresh(), this.#wait);
  }

  #say(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.onState(state);
  }

  /** Takes what is new, and leaves readers where they are: what they have marked and unfolded, focus, scroll. */
  #show(text) {
    const selection = getSelection();
    const isMarking = !selection.isCollapsed && this.root.contains(selection.anchorNode);
    if (text === this.#last || isMarking) return;
    this.#last = text;
    const focused = this.root.contains(document.activeElement) ? keyOf(document.activeElement) : null;
    const scrolled = new Map(this.#all(".platform-scroll").map((region) => [keyOf(region), region.scrollTop]));
    const unfolded = new Set(this.#all("details[data-key][open]").map(keyOf));
    this.root.replaceChildren(...new DOMParser().parseFromString(text, "text/html").body.childNodes);
    for (const region of this.#all(".platform-scroll")) region.scrollTop = scrolled.get(keyOf(region)) ?? 0;
    for (const one of this.#all("details[data-key]")) one.open ||= unfolded.has(keyOf(one));
    if (focused) this.#all("a, summary, [tabindex]").find((one) => keyOf(one) === focused)?.focus({ preventScroll: true });
  }

  #all(selector) {
    return [...this.root.querySelectorAll(selector)];
  }
}

function keyOf(element) {
  const { key } = (element.tagName === "SUMMARY" ? element.parentElement : element).dataset;
  return key ?? element.getAttribute("href") ?? element.getAttribute("aria-label");
}
