// The line to the server: requests, and the event stream that is opened again whenever it breaks.

export async function api(path, body) {
  const options = { signal: AbortSignal.timeout(15000), cache: "no-store" };
  if (body) Object.assign(options, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  const response = await fetch(path, options);
  if (response.status === 401) location.reload(); // the page then says how to come in
  const answer = await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.error), { told: true });
  return answer;
}

const FIRST = 500; // ms to the next attempt; grows to LONGEST
const LONGEST = 8000;

/** Handlers run one after another: an event that comes while something is loaded waits for it. */
export class Wire {
  #handlers;
  #onLost;
  #line = Promise.resolve();
  #source = null;
  #lastId = "";
  #patience = FIRST;
  #timer = 0;
  #paused = false;

  constructor(handlers, onLost) {
    this.#handlers = handlers;
    this.#onLost = onLost;
  }

  /** Does `job` in its turn; if it fails, the state here is in doubt, and everything is loaded anew. */
  enqueue(job) {
    this.#line = this.#line.then(job).catch((error) => {
      console.error(error);
      this.#lastId = "";
      this.#retry();
    });
  }

  connect() {
    clearTimeout(this.#timer);
    this.#paused = false;
    this.#source?.close();
    const source = this.#source = new EventSource(`/api/events?after=${encodeURIComponent(this.#lastId)}`);
    for (const [kind, handle] of Object.entries(this.#handlers)) {
      source.addEventListener(kind, (event) => {
        if (source !== this.#source) return;
        if (kind === "hello") this.#patience = FIRST;
        this.#lastId = event.lastEventId || this.#lastId;
        this.enqueue(() => handle(JSON.parse(event.data)));
      });
    }
    // The server ended this stream for a newer window's: a browser allows few to one host.
    source.addEventListener("bye", () => {
      if (source !== this.#source) return;
      source.close();
      this.#source = null;
      this.#paused = true;
      this.#onLost(true);
    });
    source.onerror = () => { if (source === this.#source) this.#retry(); };
  }

  /** Somebody looks again, or the network is back: don't wait any longer. */
  hurry() {
    if (this.#source) return;
    this.#patience = FIRST;
    this.connect();
  }

  /** This window is used again: go on if the server had ended its stream. */
  wake() {
    if (this.#paused) this.hurry();
  }

  #retry() {
    this.#source?.close();
    this.#source = null;
    this.#onLost(false);
    clearTimeout(this.#timer);
    // An EventSource doesn't tell a 401 from a dead server; a request does.
    this.#timer = setTimeout(() => api("/api/chats").then(() => this.connect(), () => this.#retry()),
      this.#patience * (0.75 + Math.random() / 2));
    this.#patience = Math.min(this.#patience * 1.7, LONGEST);
  }
}
