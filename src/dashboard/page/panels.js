// @ts-check
/** What is text: the bar at the top, the table of nodes, the events. Each is drawn whole from the model. */
import * as format from "./format.js";
import { html } from "./html.js";
import { identityOf, patternFill } from "./identity.js";
import { livingIds, stateOfRow } from "./model.js";

/** @typedef {import("./model.js").Model} Model */
/** @typedef {import("./model.js").ClusterEvent} ClusterEvent */
/** @typedef {import("./feed.js").Feed} Feed */
/** @typedef {import("./selection.js").Selection} Selection */

/** @param {{ id: string }} props */
export function Swatch({ id }) {
  const identity = identityOf(id);
  return html`<svg class="swatch" viewBox="0 0 24 24" width="22" height="22" aria-hidden="true">
    <circle cx="12" cy="12" r="11" class=${`fill hue-${identity.hue}`} />
    <circle cx="12" cy="12" r="11" fill=${patternFill(identity)} />
    <circle cx="12" cy="12" r="7" class="plate" />
    <text x="12" y="12" class="number" font-size="9">${identity.number}</text>
  </svg>`;
}

/** @param {{ model: Model, feed: Feed, theme: { name: string, next: () => void } }} props */
export function Bar({ model, feed, theme }) {
  const health = healthOf(model);
  return html`
    <h1><img src="/dashboard/icon.svg" alt="" width="28" height="28" /><span>ringcache</span></h1>
    <p class="platform">${model.platform}</p>
    <p class=${`chip ${health.level}`} id="health"><span class="mark" aria-hidden="true"></span>${health.text}</p>
    <${Connection} model=${model} feed=${feed} />
    <button type="button" class="theme" id="theme" onClick=${theme.next} aria-label=${`Colours: ${theme.name}. Change`}>
      <span aria-hidden="true">${{ auto: "◐", light: "☀", dark: "☾" }[theme.name]}</span> ${theme.name}
    </button>
  `;
}

/** @param {{ model: Model, feed: Feed }} props */
function Connection({ model, feed }) {
  const silent = [...feed.silent].map((origin) => nameOf(model, origin));
  const text =
    feed.status === "live"
      ? feed.origin === ""
        ? `Live, through ${model.node}`
        : `Live, through ${model.node}: the node that served this page doesn't answer`
      : feed.status === "connecting"
        ? "Connecting …"
        : `${silent.join(", ") || "The node"} doesn't answer. Trying ${nameOf(model, feed.origin)} …`;
  const level =
    feed.status === "live" ? (feed.origin === "" ? "good" : "warn") : feed.status === "lost" ? "bad" : "warn";
  return html`<p class=${`chip ${level}`} id="connection" role="status"><span class="mark" aria-hidden="true"></span>${text}</p>`;
}

/** @param {Model} model @param {string} origin */
function nameOf(model, origin) {
  if (origin === "") return location.host;
  return model.members.find(({ http }) => `http://${http}` === origin)?.id ?? origin;
}

/** @param {Model} model @returns {{ level: "good" | "warn" | "bad", text: string }} */
export function healthOf(model) {
  const living = livingIds(model.members);
  let [unowned, few, moving] = [0, 0, 0];
  for (const row of model.rows) {
    const state = stateOfRow(row, living);
    if (state === "unowned") unowned++;
    else if (state === "few") few++;
    if (row.incoming !== "") moving++;
  }
  if (model.rows.length === 0) return { level: "warn", text: "Nothing known yet" };
  const moves = moving > 0 ? `, ${moving.toLocaleString("en")} moving` : "";
  if (unowned > 0) return { level: "bad", text: `${format.plural(unowned, "partition")} without an owner` };
  if (few > 0)
    return { level: "warn", text: `${format.plural(few, "partition")} with too few copies${moves}` };
  if (moving > 0) return { level: "warn", text: `${format.plural(moving, "partition")} moving` };
  const copies = model.rows.reduce((fewest, { backups }) => Math.min(fewest, backups.length), 99) + 1;
  return {
    level: "good",
    text: copies > 1 ? `All partitions have ${copies} copies` : "All partitions are served; no copies",
  };
}

const columns = [
  "Node",
  "State",
  "Owns",
  "Copies",
  "Load",
  "Hit ratio",
  "p50",
  "p99",
  "Memory",
  "Entries",
  "Loop delay",
  "RSS",
  "Up",
];

/** @param {{ model: Model, selection: Selection }} props */
export function NodeTable({ model, selection }) {
  const members = [...model.members].sort((a, b) => identityOf(a.id).number - identityOf(b.id).number);
  return html`
    <h2>Nodes</h2>
    <div class="scroll" tabindex="0" role="region" aria-label="Table of nodes">
      <table>
        <thead>
          <tr>
            ${columns.map((column) => html`<th scope="col" key=${column}>${column}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${members.map((member) => html`<${NodeRow} key=${member.id} model=${model} selection=${selection} member=${member} />`)}
        </tbody>
      </table>
    </div>
  `;
}

/** @param {{ model: Model, selection: Selection, member: import("./model.js").Member }} props */
function NodeRow({ model, selection, member }) {
  const { id, http, zone } = member;
  const sample = model.samples[id];
  const { owned, copies } = model.holdings(id);
  const state = stateOf(model, member);
  const memory = sample && sample.memory_max_bytes > 0 ? sample.memory_bytes / sample.memory_max_bytes : 0;
  const cells = [
    format.count(sample?.operations_per_second),
    format.percent(sample?.hit_ratio),
    format.duration(sample?.latency_p50_seconds),
    format.duration(sample?.latency_p99_seconds),
    sample &&
      html`<span class="meter" title=${`${format.bytes(sample.memory_bytes)} of ${format.bytes(sample.memory_max_bytes)}`}>
        <svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
          <rect class="track" width="100" height="8" rx="2" />
          <rect class=${memory > 0.95 ? "full" : "used"} width=${Math.min(memory * 100, 100)} height="8" rx="2" />
        </svg>
        ${format.bytes(sample.memory_bytes)} <small>${format.percent(memory)}</small>
      </span>`,
    sample && html`${format.count(sample.entries)} <small>+${format.count(sample.backup_entries)}</small>`,
    format.duration(sample?.event_loop_delay_seconds),
    format.bytes(sample?.rss_bytes),
    format.duration(sample?.uptime_seconds),
  ];
  return html`<tr
    class=${selection.node === id ? "selected" : ""}
    onPointerEnter=${() => selection.look({ node: id })}
    onPointerLeave=${() => selection.lookAway()}
  >
    <th scope="row">
      <span class="who">
        <${Swatch} id=${id} />
        <button
          type="button"
          aria-pressed=${String(selection.keptNode === id)}
          title="Show its partitions"
          onClick=${() => selection.keep({ node: id })}
          onFocus=${() => selection.look({ node: id })}
          onBlur=${() => selection.lookAway()}
        >
          ${id}
        </button>
        ${http !== "" && id !== model.node && html`<a href=${`http://${http}/`} aria-label=${`The dashboard of ${id}`} title="Its own dashboard">↗</a>`}
        ${zone !== "" && html`<small>${zone}</small>`}
      </span>
    </th>
    <td data-name="State"><span class=${`state ${state.level}`}>${state.text}</span></td>
    <td data-name="Owns">${owned}</td>
    <td data-name="Copies">${copies}</td>
    ${cells.map((cell, i) => html`<td data-name=${columns[i + 4]} key=${i}>${cell ?? "–"}</td>`)}
  </tr>`;
}

/** @param {Model} model @param {import("./model.js").Member} member */
function stateOf(model, { id, dead, leaving }) {
  if (dead !== "") return { level: "bad", text: dead === "gone" ? "✕ dead" : "✕ silent" };
  if (leaving) return { level: "warn", text: "↪ leaving" };
  const sample = model.samples[id];
  if (sample === undefined) return { level: "warn", text: "? no answer" };
  if (sample.coordination !== "connected") return { level: "warn", text: "⚠ no NATS" };
  if (sample.evicted_per_second > 0)
    return { level: "warn", text: `⇣ evicting ${format.count(sample.evicted_per_second)}/s` };
  return { level: "good", text: id === model.coordinator ? "♛ serving" : "✓ serving" };
}

/** @param {{ model: Model }} props */
export function EventList({ model }) {
  return html`
    <h2>Events</h2>
    <ol class="events scroll" role="log" aria-live="polite" aria-relevant="additions" aria-label="Events, the newest first" tabindex="0">
      ${model.events.map(
        (event) => html`<li key=${event.id} class=${`event ${levelOf(event)}`}>
          <time datetime=${new Date(event.at_ms).toISOString()}>${format.clock(event.at_ms)}</time>
          <span class="sign" aria-hidden="true">${signs[event.kind] ?? "·"}</span>
          <span>${describe(event)}</span>
        </li>`,
      )}
    </ol>
  `;
}

/** @type {Readonly<Record<string, string>>} */
const signs = {
  joined: "+",
  leaving: "↪",
  left: "−",
  died: "✕",
  coordinator: "♛",
  assigned: "○",
  "handed-over": "→",
  promoted: "↑",
  lost: "∅",
  degraded: "◔",
  restored: "●",
  evicting: "⇣",
  "evicting-ended": "✓",
  disconnected: "⚠",
  reconnected: "✓",
  fenced: "⚠",
};

/** @param {ClusterEvent} event */
function levelOf({ kind }) {
  if (["died", "lost", "fenced"].includes(kind)) return "bad";
  return ["degraded", "disconnected", "evicting", "promoted"].includes(kind) ? "warn" : "plain";
}

/** @param {ClusterEvent} event */
export function describe({ kind, node, from, more_nodes, more_from, partitions = 0, reason }) {
  const name = html`<b>${node}</b>${others(more_nodes)}`;
  const old = html`<b>${from}</b>${others(more_from)}`;
  const what = format.plural(partitions, "partition");
  switch (kind) {
    case "joined":
      return html`${name} joined`;
    case "leaving":
      return html`${name} is leaving`;
    case "left":
      return html`${name} left`;
    case "died":
      return html`${name} died${reason === "silent" ? ": it was silent for a lease" : ""}`;
    case "coordinator":
      return html`${name} coordinates`;
    case "assigned":
      return html`${name} was given ${what}`;
    case "handed-over":
      return html`${old} handed ${what} over to ${name}`;
    case "promoted":
      return html`${name} took ${what} over from ${old}, and had copies of them`;
    case "lost":
      return html`${what} of ${old} lost: no copy was left. Now empty on ${name}`;
    case "degraded":
      return html`${what} lack copies`;
    case "restored":
      return html`All copies are there again`;
    case "evicting":
      return html`${name} evicts entries: its memory is short`;
    case "evicting-ended":
      return html`${name} doesn't evict any more`;
    case "disconnected":
      return html`${name} lost NATS`;
    case "reconnected":
      return html`${name} has NATS again`;
    case "fenced":
      return html`${name} was declared dead, and joins anew`;
    default:
      return html`${kind} ${name}`;
  }
}

/** @param {number | undefined} more */
function others(more) {
  return more === undefined ? "" : ` and ${format.plural(more, "other")}`;
}
