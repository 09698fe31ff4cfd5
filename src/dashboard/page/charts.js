// @ts-check
/** The last minutes of every node as lines, in four plots that share their time. */
import UPlot from "uplot";
import * as format from "./format.js";
import { dashes, identityOf } from "./identity.js";
import { historySeconds } from "./model.js";

/** @typedef {import("./model.js").Model} Model */
/** @typedef {import("./model.js").Plotted} Plotted */
/** @typedef {import("./selection.js").Selection} Selection */

/**
 * @typedef {object} Plot
 * @property {Plotted} name
 * @property {string} title
 * @property {(value: number | null | undefined) => string} format
 * @property {[number | null, number | null]} range what is always shown; null: as the values are
 * @property {boolean} [isLog] each line of the grid is ten times the one below
 * @property {(values: number[]) => number} total
 * @property {string} totalName
 */

const sum = (/** @type {number[]} */ values) => values.reduce((a, b) => a + b, 0);
const mean = (/** @type {number[]} */ values) => sum(values) / values.length;
const most = (/** @type {number[]} */ values) => Math.max(...values);

/** @type {readonly Plot[]} */
const plots = [
  {
    name: "operations_per_second",
    title: "Operations/s",
    format: format.count,
    range: [0, 10],
    total: sum,
    totalName: "all nodes",
  },
  {
    name: "memory_share",
    title: "Memory used",
    format: format.percent,
    range: [0, 1],
    total: most,
    totalName: "fullest",
  },
  {
    name: "hit_ratio",
    title: "Hit ratio",
    format: format.percent,
    range: [0, 1],
    total: mean,
    totalName: "mean",
  },
  {
    name: "latency_p99_seconds",
    title: "Latency, p99",
    format: format.duration,
    range: [0.000_1, 0.001],
    isLog: true,
    total: most,
    totalName: "slowest",
  },
];

/** Seconds that are shown: what there is, at least this many. */
const shownMin = 60;
/** With more, their numbers at the end of the lines don't fit. */
const numberedMax = 12;

export class Charts {
  /** @type {Model} */ #model;
  /** @type {Selection} */ #selection;
  /** @type {{ plot: Plot, chart: UPlot | undefined, holder: HTMLElement, value: HTMLElement, note: HTMLElement }[]} */ #parts =
    [];
  /** @type {string[]} */ #nodes = [];
  #drawn = -1;
  #shown = "";

  /** @param {HTMLElement} parent @param {Model} model @param {Selection} selection */
  constructor(parent, model, selection) {
    this.#model = model;
    this.#selection = selection;
    for (const plot of plots) {
      const figure = document.createElement("figure");
      const caption = document.createElement("figcaption");
      const title = element("span", "title", plot.title);
      const value = element("span", "value", "–");
      const note = element("span", "note", "");
      caption.append(title, value, note);
      const holder = element("div", "plot", "");
      figure.append(caption, holder);
      parent.append(figure);
      this.#parts.push({ plot, chart: undefined, holder, value, note });
    }
    new ResizeObserver(() => this.#resize()).observe(parent);
  }

  draw() {
    const { version, history } = this.#model;
    const nodes = [...history.keys()].sort((a, b) => identityOf(a).number - identityOf(b).number);
    const isOther = nodes.join(" ") !== this.#nodes.join(" ");
    if (isOther) {
      this.#nodes = nodes;
      this.rebuild();
    }
    if (this.#drawn !== version.samples || isOther) {
      this.#drawn = version.samples;
      const shown = this.#secondsShown();
      for (const part of this.#parts) {
        part.chart?.setData(this.#dataOf(part.plot, shown));
        this.#drawCaption(part);
      }
    }
    const selected = this.#selection.node;
    if (this.#shown !== selected || isOther) {
      this.#shown = selected;
      for (const part of this.#parts) {
        this.#drawCaption(part);
        part.chart?.series.forEach((line, i) => {
          const id = this.#nodes[i - 1];
          line.alpha = selected === "" || id === selected ? 1 : 0.12;
          if (id !== undefined) line.width = id === selected ? 2.5 : this.#lineWidth;
        });
        part.chart?.redraw(false);
      }
    }
  }

  /** Everything anew: other lines, or other colours. */
  rebuild() {
    for (const part of this.#parts) {
      part.chart?.destroy();
      part.chart = new UPlot(
        this.#optionsOf(part.plot, part.holder),
        this.#dataOf(part.plot, this.#secondsShown()),
        part.holder,
      );
    }
  }

  /** @param {{ plot: Plot, value: HTMLElement, note: HTMLElement, holder: HTMLElement }} part */
  #drawCaption({ plot, value, note, holder }) {
    const selected = this.#selection.node;
    const last = (/** @type {string} */ id) => this.#model.history.get(id)?.[plot.name].at(-1) ?? null;
    const values = this.#nodes.map(last).filter((one) => one !== null);
    const shown = selected !== "" ? last(selected) : values.length === 0 ? null : plot.total(values);
    const name = selected !== "" ? selected : plot.totalName;
    value.textContent = plot.format(shown);
    note.textContent = name;
    holder.setAttribute("role", "img");
    holder.setAttribute(
      "aria-label",
      `${plot.title} of each node over the last minutes; now ${plot.format(shown)} (${name})`,
    );
  }

  get #lineWidth() {
    return this.#nodes.length > numberedMax ? 1 : 1.75;
  }

  #secondsShown() {
    let oldest = historySeconds;
    for (const { memory_share } of this.#model.history.values()) {
      const first = memory_share.findIndex((value) => value !== null);
      if (first >= 0) oldest = Math.min(oldest, first);
    }
    return Math.min(Math.max(historySeconds - oldest, shownMin), historySeconds);
  }

  /** @param {Plot} plot @param {number} seconds @returns {UPlot.AlignedData} */
  #dataOf({ name }, seconds) {
    const { second, history } = this.#model;
    const times = Array.from({ length: seconds }, (_, i) => second - seconds + 1 + i);
    const lines = this.#nodes.map((id) => history.get(id)?.[name].slice(-seconds) ?? []);
    return /** @type {UPlot.AlignedData} */ ([times, ...lines]);
  }

  /** @param {Plot} plot @param {HTMLElement} holder @returns {UPlot.Options} */
  #optionsOf(plot, holder) {
    const style = getComputedStyle(document.documentElement);
    const color = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
    const axis = {
      stroke: color("--muted"),
      font: "11px system-ui",
      grid: { stroke: color("--line"), width: 1 },
      ticks: { show: false },
    };
    return {
      ...sizeOf(holder),
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: {
        x: { time: true },
        y: plot.isLog
          ? { distr: 3, range: (_, min, max) => decadesOf(plot.range, min, max) }
          : { range: (_, min, max) => rangeOf(plot.range, min, max) },
      },
      axes: [
        {
          ...axis,
          size: 26,
          space: 70,
          splits: (chart) => splitsOf(chart),
          values: (_, times) => times.map((time) => format.ago(this.#model.second - time)),
        },
        {
          ...axis,
          size: 56,
          space: 28,
          values: (_, values) => values.map((value) => plot.format(value)),
          ...(plot.isLog && {
            splits: (_, __, min, max) => powersOfTen(min, max),
            filter: (_, splits) => splits,
          }),
        },
      ],
      series: [
        {},
        ...this.#nodes.map((id) => {
          const { hue, pattern } = identityOf(id);
          return {
            label: id,
            stroke: color(`--hue-${hue}`),
            width: this.#lineWidth,
            dash: [.../** @type {readonly number[]} */ (dashes[pattern])],
            points: { show: false },
            spanGaps: false,
          };
        }),
      ],
      hooks: {
        draw: [(chart) => this.#drawNumbers(chart, color)],
        setCursor: [(chart) => this.#readCursor(chart, plot)],
      },
      padding: [8, 20, 0, 0],
    };
  }

  /** At the right end of each line the number of its node; close ones are pushed apart. @param {UPlot} chart @param {(name: string) => string} color */
  #drawNumbers(chart, color) {
    if (this.#nodes.length > numberedMax) return;
    const { ctx, bbox } = chart;
    const ratio = window.devicePixelRatio || 1;
    const ends = this.#nodes.flatMap((id, i) => {
      const value = chart.data[i + 1]?.at(-1);
      return value === null || value === undefined ? [] : [{ id, y: chart.valToPos(value, "y", true) }];
    });
    ends.sort((a, b) => b.y - a.y);
    const apart = 10 * ratio;
    // Pushed upwards from the lowest, then back down from the top, where there is an end.
    for (let i = 1; i < ends.length; i++) spread(ends[i], ends[i - 1], -apart);
    for (let i = ends.length - 1; i >= 0; i--)
      spread(ends[i], ends[i + 1] ?? { y: bbox.top - apart / 2 }, apart);
    ctx.save();
    ctx.font = `600 ${10 * ratio}px system-ui`;
    ctx.textBaseline = "middle";
    for (const { id, y } of ends) {
      const isFaded = this.#selection.node !== "" && this.#selection.node !== id;
      ctx.fillStyle = isFaded ? color("--line") : color(`--hue-${identityOf(id).hue}`);
      ctx.fillText(String(identityOf(id).number), bbox.left + bbox.width + 4 * ratio, y);
    }
    ctx.restore();
  }

  /** Under the pointer: the value of that moment. @param {UPlot} chart @param {Plot} plot */
  #readCursor(chart, plot) {
    const part = this.#parts.find((one) => one.chart === chart);
    const { idx } = chart.cursor;
    if (part === undefined) return;
    if (idx === null || idx === undefined) {
      this.#drawCaption(part);
      return;
    }
    const lines = this.#nodes.flatMap((id, i) => {
      const value = chart.data[i + 1]?.[idx];
      return value === null ||
        value === undefined ||
        (this.#selection.node !== "" && this.#selection.node !== id)
        ? []
        : [value];
    });
    part.value.textContent = plot.format(lines.length === 0 ? null : plot.total(lines));
    part.note.textContent = format.clock(/** @type {number} */ (chart.data[0]?.[idx]) * 1000);
  }

  #resize() {
    for (const { chart, holder } of this.#parts) chart?.setSize(sizeOf(holder));
  }
}

/** Round times before the newest second. @param {UPlot} chart */
function splitsOf({ data, width }) {
  const [times] = data;
  const [first = 0, last = 0] = [times[0], times.at(-1)];
  const wanted = Math.max(Math.floor(width / 110), 1);
  const step = [10, 15, 20, 30, 60, 120, 300].find((seconds) => (last - first) / seconds <= wanted) ?? 300;
  const splits = [];
  for (let time = last; time >= first; time -= step) splits.unshift(time);
  return splits;
}

/** Moves one so that it is at least so far from the other, on its side. @param {{ y: number } | undefined} one @param {{ y: number } | undefined} other @param {number} distance */
function spread(one, other, distance) {
  if (one === undefined || other === undefined) return;
  one.y = distance < 0 ? Math.min(one.y, other.y + distance) : Math.max(one.y, other.y + distance);
}

/** @param {HTMLElement} holder */
function sizeOf(holder) {
  return { width: Math.max(holder.clientWidth, 120), height: Math.max(holder.clientHeight, 90) };
}

/** @param {[number | null, number | null]} always @param {number | null} min @param {number | null} max @returns {[number, number]} */
function rangeOf([low, high], min, max) {
  const from = Math.min(low ?? Number.POSITIVE_INFINITY, min ?? Number.POSITIVE_INFINITY);
  const to = Math.max(high ?? Number.NEGATIVE_INFINITY, (max ?? 0) * (high === 1 ? 1 : 1.08));
  return [from, to];
}

/** @param {number} min @param {number} max */
function powersOfTen(min, max) {
  const powers = [];
  for (let power = min; power <= max * 1.001; power *= 10) powers.push(power);
  return powers;
}

/** Whole powers of ten. @param {[number | null, number | null]} always @param {number | null} min @param {number | null} max @returns {[number, number]} */
function decadesOf([low, high], min, max) {
  const from = Math.min(low ?? 1, min ?? 1);
  const to = Math.max(high ?? 0, max ?? 0);
  return [10 ** Math.floor(Math.log10(from) + 1e-9), 10 ** Math.ceil(Math.log10(to) - 1e-9)];
}

/** @param {string} name @param {string} className @param {string} text */
function element(name, className, text) {
  const created = document.createElement(name);
  created.className = className;
  created.textContent = text;
  return created;
}
