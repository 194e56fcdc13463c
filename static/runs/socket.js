// The run's WebSocket: keeps itself open until the run has ended, and never misses or repeats an event.

const FIRST_DELAY = 500;
const LONGEST_DELAY = 10_000;
const PING_EVERY = 25_000;
const ANSWER_WITHIN = 10_000;
const ENDED = 1000;
// The server's reasons not to come back: malformed, not signed in, not permitted, no such run.
const refusals = new Set([4400, 4401, 4403, 4404]);

export class RunSocket {
  #socket = null;
  #failures = 0;
  #timer = 0;
  #pulse = 0;
  #heard = 0;
  #over = false;
  #listening = new AbortController();

  /**
   * `path` is the socket's path, `lastSeq()` the last event seen. Calls `onEvent(envelope)`, `onAnswer(answer)` for a
   * command's outcome, and `onState(state, reason)` with "connecting", "open", "lost", "ended" or "refused".
   */
  constructor(path, { lastSeq, onEvent, onAnswer, onState }) {
    Object.assign(this, { path, lastSeq, onEvent, onAnswer, onState });
    const { signal } = this.#listening;
    addEventListener("online", () => this.#retryNow(), { signal });
    document.addEventListener("visibilitychange", () => document.hidden || this.#retryNow(), { signal });
  }

  open() {
    clearTimeout(this.#timer);
    this.onState("connecting");
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}${this.path}?after=${this.lastSeq()}`);
    socket.onopen = () => this.#opened();
    socket.onmessage = ({ data }) => this.#received(JSON.parse(data));
    socket.onclose = ({ code, reason }) => socket === this.#socket && this.#closed(code, reason);
    this.#socket = socket;
  }

  /** Sends a command; false while there is no connection. */
  send(command) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(command));
    return true;
  }

  /** Ends it for good: nobody looks at the run any more. */
  close() {
    this.#over = true;
    this.#listening.abort();
    clearTimeout(this.#timer);
    clearInterval(this.#pulse);
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onmessage = null;
    socket.close();
  }

  #opened() {
    this.#heard = Date.now();
    this.#pulse = setInterval(() => this.#check(), PING_EVERY);
    this.onState("open");
  }

  #received(frame) {
    this.#heard = Date.now();
    this.#failures = 0;
    if (frame.seq === undefined) {
      if (frame.action !== "ping") this.onAnswer(frame);
    } else if (frame.seq > this.lastSeq()) {
      this.onEvent(frame);
    }
  }

  /** A connection can be dead without anybody having said so. */
  #check() {
    this.send({ action: "ping" });
    setTimeout(() => {
      if (Date.now() - this.#heard > PING_EVERY) this.#abandon();
    }, ANSWER_WITHIN);
  }

  #abandon() {
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) return;
    this.#closed(1006, "");
    socket.close();
  }

  #closed(code, reason) {
    clearInterval(this.#pulse);
    this.#socket = null;
    if (code === ENDED || refusals.has(code)) {
      this.#over = true;
      this.onState(code === ENDED ? "ended" : "refused", reason);
      return;
    }
    const delay = Math.min(FIRST_DELAY * 2 ** this.#failures, LONGEST_DELAY) * (0.8 + 0.4 * Math.random());
    this.#failures += 1;
    this.onState("lost");
    this.#timer = setTimeout(() => this.open(), delay);
  }

  #retryNow() {
    if (!this.#over && this.#socket === null) this.open();
  }
}
