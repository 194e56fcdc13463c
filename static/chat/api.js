// The REST API, called by a page of its own site: by the session cookie, with the token against forgery.

export class ApiError extends Error {
  /** `status` is 0 where no answer came; `type`, `message` and `details` are the server's. */
  constructor(status, { type = "", message = "", details = null, retryAfter = 0 } = {}) {
    super(message);
    Object.assign(this, { status, type, details, retryAfter });
  }
}

export class Api {
  constructor({ api, workspace, csrf_cookie: cookie }) {
    Object.assign(this, { root: api, workspace, cookie });
  }

  get(path, query = {}) {
    return this.#call("GET", path, { query });
  }

  post(path, body = {}) {
    return this.#call("POST", path, { body: JSON.stringify(body), type: "application/json" });
  }

  patch(path, body) {
    return this.#call("PATCH", path, { body: JSON.stringify(body), type: "application/json" });
  }

  delete(path) {
    return this.#call("DELETE", path);
  }

  upload(path, file) {
    const form = new FormData();
    form.append("file", file, file.name);
    return this.#call("POST", path, { body: form });
  }

  /** What is not JSON: a file. */
  async blob(path, query = {}) {
    return (await this.#answer("GET", path, { query })).blob();
  }

  async #call(...request) {
    const answer = await this.#answer(...request);
    return answer.status === 204 ? null : answer.json();
  }

  async #answer(method, path, { query = {}, body, type } = {}) {
    const headers = { "X-Workspace": this.workspace, Accept: "application/json" };
    if (type) headers["Content-Type"] = type;
    if (method !== "GET") headers["X-CSRFToken"] = this.#token();
    const parameters = new URLSearchParams(query).toString();
    let answer;
    try {
      answer = await fetch(`${this.root}${path}${parameters && `?${parameters}`}`, { method, headers, body });
    } catch {
      throw new ApiError(0);
    }
    if (answer.ok) return answer;
    if (answer.status === 401) signInAgain();
    const said = await answer.json().then(({ error }) => error, () => ({}));
    throw new ApiError(answer.status, { ...said, retryAfter: Number(answer.headers.get("Retry-After") ?? 0) });
  }

  #token() {
    const found = document.cookie.split("; ").find((one) => one.startsWith(`${this.cookie}=`));
    return found ? found.slice(this.cookie.length + 1) : "";
  }
}

/** The session has ended; what was typed is kept by the composer. */
function signInAgain() {
  location.assign(`/sign-in/?next=${encodeURIComponent(location.pathname + location.search)}`);
}
