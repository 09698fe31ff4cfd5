// @ts-check
/** What the picture says in words: in its middle, and to those who can't see it. */
import * as format from "./format.js";
import { livingIds } from "./model.js";

/** @typedef {import("./model.js").Model} Model */
/** @typedef {import("./selection.js").Selection} Selection */

/** @param {Model} model @param {number} p */
export function describePartition({ rows }, p) {
  const row = rows[p];
  if (row === undefined) return "none";
  const [first, last] = slotsOf(p, rows.length);
  const parts = [
    `partition ${p}`,
    `slots ${first} to ${last}`,
    row.owner === "" ? "no owner" : `owner ${row.owner}`,
  ];
  if (row.backups.length > 0) parts.push(`copies on ${row.backups.join(", ")}`);
  if (row.incoming !== "") parts.push(`moving to ${row.incoming}`);
  return parts.join(", ");
}

/** @param {number} p @param {number} total @returns {[number, number]} */
function slotsOf(p, total) {
  return [Math.ceil((p * 16_384) / total), Math.ceil(((p + 1) * 16_384) / total) - 1];
}

/** The text in the middle: the cluster, or what is looked at. @param {Model} model @param {Selection} selection */
export function middleOf(model, { node, partition }) {
  const row = model.rows[partition];
  if (partition >= 0 && row !== undefined) {
    const [first, last] = slotsOf(partition, model.rows.length);
    const lines = [
      line("small", `slots ${first} – ${last}`),
      line("small", row.owner === "" ? "no owner" : `owner ${row.owner}`),
      line("small", row.backups.length === 0 ? "no other copy" : `copy ${row.backups.join(", ")}`),
    ];
    if (row.incoming !== "") lines.push(line("small", `moving to ${row.incoming}`));
    return [line("large", `partition ${partition}`), ...lines];
  }
  if (node !== "") {
    const sample = model.samples[node];
    const { owned, copies } = model.holdings(node);
    return [
      line("large", node),
      line("small", `owns ${owned}, holds ${copies} copies`),
      line(
        "small",
        sample === undefined
          ? "doesn't answer"
          : `${format.count(sample.operations_per_second)} operations/s`,
      ),
      line(
        "small",
        sample === undefined
          ? ""
          : `${format.bytes(sample.memory_bytes)} of ${format.bytes(sample.memory_max_bytes)}`,
      ),
    ];
  }
  const living = livingIds(model.members);
  const operations = Object.values(model.samples).reduce(
    (sum, sample) => sum + (sample.operations_per_second ?? 0),
    0,
  );
  return [
    line("large", format.count(operations)),
    line("small", "operations/s"),
    line("small", `${format.plural(living.size, "node")}, ${format.plural(model.rows.length, "partition")}`),
    line("small", `epoch ${model.epoch}`),
  ];
}

/** @param {string} className @param {string} text */
function line(className, text) {
  const element = document.createElement("div");
  element.className = className;
  element.textContent = text;
  return element;
}
