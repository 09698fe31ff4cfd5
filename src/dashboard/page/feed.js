// @ts-check
/**
 * Keeps the page in touch with the cluster through one node: the one that served it, or, when that is silent, any other that it
 * knows. A node is left when its connection breaks or when it has said nothing for some seconds: it tells something every second.
 */

/** @typedef {import("./model.js").Model} Model */
/** @typedef {"connecting" | "live" | "lost"} Status */

const silentMs = 3_500;
const connectMs = 2_000;
const retryMs = 1_000;

export class Feed {
  /** @type {Status} */
  status = "connecting";
  /** Where it is connected to, or tries: an origin; empty: where the page came from. */
  origin = "";
  /** Addresses of nodes that didn't answer since the last one did. @type {Set<string>} */
  silent = new Set();
  /** @type {Model} */
  #model;
  /** @type {() => void} */
  #changed;
  /** @type {EventSource | undefined} */
  #source;
  #timer = 0;
  /** The node that answers where the page came from. */
  #home = "";
  /** Addresses of this round that are yet to be tried. @type {string[]} */
  #queue = [];

  /** @param {Model} model @param {() => void} changed told of everything new, the status too */
  constructor(model, changed) {
    this.#model = model;
    this.#changed = changed;
  }

  start() {
    this.#open("");
  }

  /** Where requests go. @param {string} path */
  url(path) {
    return this.origin + path;
  }

  /** @param {string} origin */
  #open(origin) {
    this.#close();
    this.origin = origin;
    const source = new EventSource(`${origin}/events`);
    this.#source = source;
    this.#expect(connectMs);
    /** @param {string} name @param {(data: any) => void} apply */
    const on = (name, apply) =>
      source.addEventListener(name, (message) => {
        if (this.#source !== source) return;
        apply(JSON.parse(/** @type {MessageEvent} */ (message).data));
        if (this.#source !== source) return;
        this.#expect(silentMs);
        this.#changed();
      });
    on("state", (state) => {
      this.status = "live";
      this.silent.clear();
      this.#queue = [];
      if (this.origin === "") this.#home = state.node;
      this.#model.begin(state);
    });
    on("change", (change) => {
      // It missed one: the node tells everything anew to who comes anew.
      if (!this.#model.change(change)) this.#open(this.origin);
    });
    on("samples", (samples) => this.#model.sample(samples));
    on("happened", (events) => this.#model.happen(events));
    source.onerror = () => {
      if (this.#source === source) this.#next();
    };
    this.#changed();
  }

  /** The present node is silent or gone: on to another one. */
  #next() {
    this.#close();
    this.silent.add(this.origin);
    if (this.status === "live") this.#queue = this.#addresses().filter((origin) => origin !== this.origin);
    const isOver = this.#queue.length === 0;
    this.status = "lost";
    if (isOver) this.#queue = this.#addresses();
    const next = this.#queue.shift() ?? "";
    this.#changed();
    if (isOver) this.#timer = window.setTimeout(() => this.#open(next), retryMs);
    else this.#open(next);
  }

  /** The page's own origin first, then the members'. */
  #addresses() {
    const addresses = [""];
    // A page that came over TLS may not call a plain address.
    if (location.protocol !== "http:") return addresses;
    for (const { http, dead, id } of this.#model.members) {
      const origin = `http://${http}`;
      if (http !== "" && dead === "" && id !== this.#home && origin !== location.origin)
        addresses.push(origin);
    }
    return addresses;
  }

  /** @param {number} ms until it counts as silent */
  #expect(ms) {
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => this.#next(), ms);
  }

  #close() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = undefined;
  }
}
