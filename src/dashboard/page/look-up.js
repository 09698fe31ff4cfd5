// @ts-check
/** The box that looks a key up. */
import { Component } from "preact";
import * as format from "./format.js";
import { html } from "./html.js";
import { Swatch } from "./panels.js";

/** @typedef {import("../../cache/cluster/report.ts").LookUpReport & { key: string }} Found */
/** @typedef {{ model: import("./model.js").Model, feed: import("./feed.js").Feed, selection: import("./selection.js").Selection }} Props */

/** @extends {Component<Props, { found?: Found, error?: string, isBusy?: boolean }>} */
export class LookUp extends Component {
  #asked = 0;

  /** @param {Event} event */
  #submit = async (event) => {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.currentTarget);
    const key = String(new FormData(form).get("key") ?? "");
    if (key === "") {
      this.setState({ error: "Write a key to look up." });
      return;
    }
    const asked = ++this.#asked;
    this.setState({ isBusy: true });
    const next = await ask(this.props.feed.url(`/lookup?key=${encodeURIComponent(key)}`));
    // An answer to what was asked before isn't the answer.
    if (asked !== this.#asked) return;
    this.setState({ isBusy: false, ...next });
    if (next.found !== undefined) this.props.selection.show(next.found.partition);
  };

  render() {
    const { found, error, isBusy = false } = this.state;
    return html`
      <h2>Look a key up</h2>
      <form onSubmit=${this.#submit}>
        <label for="key">Key</label>
        <input id="key" name="key" autocomplete="off" spellcheck=${false} placeholder="user:1" maxlength="65536" />
        <button type="submit">Look up</button>
      </form>
      <div class="result" role="status" aria-busy=${String(isBusy)}>
        ${error !== undefined ? html`<p class="bad">${error}</p>` : found !== undefined && html`<${Result} found=${found} />`}
      </div>
    `;
  }
}

/** @param {{ found: Found }} props */
function Result({ found }) {
  const { slot, partition, owner, backups, incoming, ttl_seconds, value_bytes, memory_bytes } = found;
  const facts = [
    ["Slot", String(slot)],
    ["Partition", String(partition)],
    ["Owner", owner === "" ? "none" : html`<${Swatch} id=${owner} /> ${owner}`],
    [
      "Copies on",
      backups.length === 0
        ? "no other node"
        : backups.map((id) => html`<span key=${id}><${Swatch} id=${id} /> ${id} </span>`),
    ],
    ...(incoming === "" ? [] : [["Moving to", html`<${Swatch} id=${incoming} /> ${incoming}`]]),
    [
      "Entry",
      found.found ? `${format.bytes(value_bytes)}, takes ${format.bytes(memory_bytes)}` : "not there",
    ],
    ...(found.found
      ? [["Time to live", ttl_seconds === null ? "doesn't expire" : `${format.duration(ttl_seconds)} left`]]
      : []),
  ];
  return html`<dl>
    ${facts.map(([name, value], i) => html`<div key=${i}><dt>${name}</dt><dd>${value}</dd></div>`)}
  </dl>`;
}

/** @param {string} url @returns {Promise<{ found?: Found, error?: string }>} */
async function ask(url) {
  try {
    const response = await fetch(url);
    const body = await response.json();
    if (response.ok) return { found: body, error: undefined };
    return {
      found: undefined,
      error: `${body.error?.message ?? "The node refused."} (${body.error?.code ?? response.status})`,
    };
  } catch {
    return { found: undefined, error: "The node doesn't answer." };
  }
}
