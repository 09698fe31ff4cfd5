// @ts-check
/** The nodes within the ring: a badge each, with its memory around it, and arrows for the partitions that move between them. */
import * as format from "./format.js";
import { backupFloor, bow, center, inwards, point } from "./geometry.js";
import { identityOf, patternFill } from "./identity.js";
import { svg } from "./ring.js";

/** @typedef {import("./model.js").Model} Model */
/** @typedef {import("./selection.js").Selection} Selection */

/** Arrows at once; the largest moves. */
const arrowsMax = 60;
/** With more nodes their names don't fit. */
const namedMax = 14;

export class NodeBadges {
  root = svg("g", { class: "nodes" });
  /** @type {Model} */ #model;
  /** @type {Selection} */ #selection;
  #arrows = svg("g", { class: "arrows", "aria-hidden": "true" });
  #badges = svg("g", { role: "group", "aria-label": "Nodes" });
  /** @type {Map<string, Element>} */ #byId = new Map();
  /** The one that Tab gets to. */
  #stop = "";
  #arrowsText = "";

  /** @param {Model} model @param {Selection} selection */
  constructor(model, selection) {
    this.#model = model;
    this.#selection = selection;
    this.root.append(this.#arrows, this.#badges);
    this.#badges.addEventListener("keydown", (event) => this.#onKey(/** @type {KeyboardEvent} */ (event)));
  }

  draw() {
    const { members } = this.#model;
    const ids = members.map(({ id }) => id).sort((a, b) => identityOf(a).number - identityOf(b).number);
    for (const [id, badge] of this.#byId) {
      if (ids.includes(id)) continue;
      badge.remove();
      this.#byId.delete(id);
    }
    if (!ids.includes(this.#stop)) this.#stop = ids[0] ?? "";
    const layout = layoutOf(ids.length, this.#model.backupCount);
    ids.forEach((id, i) => {
      let badge = this.#byId.get(id);
      if (badge === undefined) {
        badge = this.#create(id);
        this.#byId.set(id, badge);
      }
      // The order of the focus is the order of the picture.
      if (this.#badges.children[i] !== badge)
        this.#badges.insertBefore(badge, this.#badges.children[i] ?? null);
      this.#update(badge, id, layout, i);
    });
    this.#drawArrows(ids, layout);
  }

  /** @param {string} id */
  #create(id) {
    const selection = this.#selection;
    const identity = identityOf(id);
    const badge = svg("g", { class: "badge", role: "button", "data-node": id });
    const shape = svg("g", { class: "shape" });
    shape.append(
      svg("circle", { class: "gauge-track" }),
      svg("circle", { class: "gauge", pathLength: 100 }),
      svg("circle", { class: `body fill hue-${identity.hue}` }),
      svg("circle", { class: "body-pattern", fill: patternFill(identity) }),
      svg("circle", { class: "plate" }),
      svg("text", { class: "number" }),
      svg("path", { class: "cross" }),
    );
    badge.append(shape, svg("text", { class: "name" }), svg("path", { class: "crown" }));
    badge.addEventListener("pointerenter", () => selection.look({ node: id }));
    badge.addEventListener("pointerleave", () => selection.lookAway());
    badge.addEventListener("focus", () => {
      this.#stop = id;
      selection.look({ node: id });
    });
    badge.addEventListener("blur", () => selection.lookAway());
    badge.addEventListener("click", () => selection.keep({ node: id }));
    return badge;
  }

  /** @param {Element} badge @param {string} id @param {Layout} layout @param {number} i */
  #update(badge, id, layout, i) {
    const { samples, coordinator } = this.#model;
    const member = this.#model.member(id);
    const sample = samples[id];
    const [x, y] = point(i / layout.count, layout.radius);
    const { r } = layout;
    const set = (
      /** @type {string} */ selector,
      /** @type {Record<string, string | number>} */ attributes,
    ) => {
      const element = badge.querySelector(selector);
      for (const [name, value] of Object.entries(attributes)) element?.setAttribute(name, String(value));
      return element;
    };
    /** @type {SVGElement} */ (badge).style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)`;
    const isDead = (member?.dead ?? "") !== "";
    badge.setAttribute("class", `badge${isDead ? " dead" : ""}${member?.leaving ? " leaving" : ""}`);
    badge.setAttribute("tabindex", id === this.#stop ? "0" : "-1");
    badge.setAttribute("aria-pressed", String(this.#selection.keptNode === id));
    const memory =
      sample === undefined || sample.memory_max_bytes === 0
        ? 0
        : sample.memory_bytes / sample.memory_max_bytes;
    const ring = { r: r + Math.max(r * 0.28, 3), "stroke-width": Math.max(r * 0.18, 2) };
    set(".gauge-track", ring);
    set(".gauge", { ...ring, "stroke-dasharray": `${(Math.min(memory, 1) * 100).toFixed(1)} 100` });
    set(".body", { r });
    set(".body-pattern", { r });
    // On a small badge the number takes nearly all of it.
    const isSmall = r < 16;
    set(".plate", { r: r * (isSmall ? 0.8 : 0.58) });
    const number = set(".number", { "font-size": (r * (isSmall ? 1.05 : 0.8)).toFixed(1) });
    if (number !== null) number.textContent = String(identityOf(id).number);
    const arm = r * 0.95;
    set(".cross", { d: isDead ? `M${-arm} ${-arm}L${arm} ${arm}M${arm} ${-arm}L${-arm} ${arm}` : "" });
    // Where there are names it is above; on a crowded circle the inner side is free.
    const [outX, outY] =
      layout.count <= namedMax ? [0, -1] : [(x - center) / -layout.radius, (y - center) / -layout.radius];
    const away = r * 1.45 + Math.max(r * 0.35, 4);
    const transform = `translate(${(outX * away).toFixed(1)} ${(outY * away).toFixed(1)})`;
    set(".crown", { d: id === coordinator ? crown(r) : "", transform });
    const name = set(".name", { y: r + (r * 0.28 + 16), "font-size": 13 });
    if (name !== null) name.textContent = layout.count <= namedMax ? shortened(id) : "";
    const { owned } = this.#model.holdings(id);
    const state = isDead ? "dead, " : member?.leaving ? "leaving, " : "";
    const load =
      sample === undefined
        ? "no answer"
        : `${format.count(sample.operations_per_second)} operations per second, memory ${format.percent(memory)}`;
    badge.setAttribute(
      "aria-label",
      `${id}: ${state}${id === coordinator ? "coordinator, " : ""}owns ${format.plural(owned, "partition")}, ${load}`,
    );
  }

  /** @param {string[]} ids @param {Layout} layout */
  #drawArrows(ids, layout) {
    const moves = this.#model.moves().slice(0, arrowsMax);
    // Redrawn only if it says something else: it moves, and would begin anew.
    const text = JSON.stringify([ids, moves.map(({ from, to, count, isOver }) => [from, to, count, isOver])]);
    if (text === this.#arrowsText) return;
    this.#arrowsText = text;
    const place = (/** @type {string} */ id) =>
      ids.includes(id) ? point(ids.indexOf(id) / layout.count, layout.radius) : undefined;
    this.#arrows.replaceChildren(
      ...moves.flatMap(({ from, to, count, isOver }) => {
        const end = place(to);
        if (end === undefined) return [];
        // One that is gone has no place any more: what it had comes from the middle.
        const start = place(from) ?? inwards(end);
        const { path, label } = bow(start, end, layout.r * 1.45);
        const className = `arrow hue-${identityOf(to).hue}${isOver ? " over" : ""}`;
        const width = Math.min(2 + Math.log2(count) / 2, 5);
        const text = svg("text", {
          x: label.x.toFixed(1),
          y: label.y.toFixed(1),
          class: `arrow-label${isOver ? " over" : ""}`,
        });
        text.textContent = String(count);
        return [
          svg("path", { d: path, class: className, "stroke-width": width, "marker-end": "url(#arrow)" }),
          ...(moves.length <= 24 ? [text] : []),
        ];
      }),
    );
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const badges = /** @type {SVGElement[]} */ ([...this.#badges.children]);
    const at = badges.indexOf(/** @type {SVGElement} */ (document.activeElement));
    if (at < 0) return;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const goal =
      event.key === "Home"
        ? 0
        : event.key === "End"
          ? badges.length - 1
          : step === undefined
            ? undefined
            : (at + step + badges.length) % badges.length;
    if (goal !== undefined) {
      event.preventDefault();
      badges[at]?.setAttribute("tabindex", "-1");
      badges[goal]?.setAttribute("tabindex", "0");
      badges[goal]?.focus();
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.#selection.keep({ node: this.#stop });
    } else if (event.key === "Escape") this.#selection.clear();
  }
}

/** @typedef {{ count: number, radius: number, r: number }} Layout */

/** @param {number} count @param {number} backupCount @returns {Layout} */
function layoutOf(count, backupCount) {
  const edge = backupFloor(Math.max(backupCount, 1)) - 8;
  // As large as its neighbours on the circle let it, its gauge included.
  const room = (Math.PI * (edge - 14)) / Math.max(count, 1);
  const r = Math.max(3, Math.min(26, room * 0.66));
  return { count: Math.max(count, 1), radius: count <= namedMax ? 190 : edge - r * 1.45, r };
}

/** For the node that plans; around its own middle. @param {number} r */
function crown(r) {
  const w = Math.max(r * 0.5, 4.5);
  const y = w * 0.55;
  return `M${-w} ${y}L${-w} ${-y}L${-w / 2} ${y * 0.1}L0 ${-y * 1.3}L${w / 2} ${y * 0.1}L${w} ${-y}L${w} ${y}Z`;
}

/** @param {string} id */
function shortened(id) {
  return id.length > 14 ? `${id.slice(0, 13)}…` : id;
}
