// @ts-check
/** Puts the page together: the feed changes the model, and whatever shows it draws in the next frame. */
import { render } from "preact";
import { Charts } from "./charts.js";
import { Feed } from "./feed.js";
import { html } from "./html.js";
import { LookUp } from "./look-up.js";
import { afterglowMs, Model } from "./model.js";
import { Bar, EventList, NodeTable } from "./panels.js";
import { RingPicture } from "./ring.js";
import { Selection } from "./selection.js";
import { Theme } from "./theme.js";

/** Drawing gets at most this part of the time: with thousands of partitions on the move there are fewer frames. */
const drawingShare = 1 / 4;

const place = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

const model = new Model();
const selection = new Selection(() => schedule());
const feed = new Feed(model, () => schedule());
const theme = new Theme(() => {
  charts.rebuild();
  schedule();
});
const ring = new RingPicture(place("ring"), model, selection);
place("ring").append(legend());
const charts = new Charts(place("charts"), model, selection);

let isScheduled = false;
let busyUntilMs = 0;
let fadeTimer = 0;

function schedule() {
  if (isScheduled) return;
  isScheduled = true;
  const waitMs = busyUntilMs - performance.now();
  if (waitMs > 0) window.setTimeout(() => requestAnimationFrame(draw), waitMs);
  else requestAnimationFrame(draw);
}

function draw() {
  isScheduled = false;
  const startMs = performance.now();
  ring.draw();
  charts.draw();
  render(html`<${Bar} model=${model} feed=${feed} theme=${theme} />`, place("bar"));
  render(html`<${NodeTable} model=${model} selection=${selection} />`, place("nodes"));
  render(html`<${EventList} model=${model} />`, place("events"));
  render(html`<${LookUp} model=${model} feed=${feed} selection=${selection} />`, place("lookup"));
  document.title = model.platform === "" ? "ringcache" : `${model.platform} – ringcache`;
  busyUntilMs = performance.now() + (performance.now() - startMs) * (1 / drawingShare - 1);
  // What is over stays for a while, and then goes without anything else having changed.
  clearTimeout(fadeTimer);
  if (model.pastMoves.length > 0 || model.changedAtMs.size > 0)
    fadeTimer = window.setTimeout(schedule, afterglowMs / 2);
}

function legend() {
  const list = document.createElement("ul");
  list.className = "legend";
  for (const [name, text] of [
    ["owner", "owner"],
    ["backup", "copies"],
    ["moving", "is to move"],
    ["few", "too few copies"],
    ["unowned", "no owner"],
  ]) {
    const item = document.createElement("li");
    const key = document.createElement("span");
    key.className = `key ${name}`;
    key.setAttribute("aria-hidden", "true");
    item.append(key, text ?? "");
    list.append(item);
  }
  return list;
}

feed.start();
// A page that lay in the background has heard, but not drawn.
document.addEventListener("visibilitychange", schedule);
schedule();
