/** A node's metrics in Prometheus's text format. The counting isn't done by prom-client: its metrics read a snapshot when they are asked. */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { HistogramMetric, Metric, NumberMetric } from "./metric.ts";
import type { NodeSnapshot } from "./snapshot.ts";
import { metrics } from "./table.ts";

/** Of one node: several may run in one process. */
export class Exposition {
  readonly #registry = new Registry();
  readonly #take: () => NodeSnapshot;
  #snapshot: NodeSnapshot;

  constructor(take: () => NodeSnapshot) {
    this.#take = take;
    this.#snapshot = take();
    for (const metric of metrics) this.#registry.registerMetric(this.#reading(metric));
  }

  /** The text as it is now. */
  text(): Promise<string> {
    this.#snapshot = this.#take();
    return this.#registry.metrics();
  }

  #reading(metric: Metric): Counter | Gauge | Histogram {
    const snapshot = (): NodeSnapshot => this.#snapshot;
    switch (metric.type) {
      case "counter":
        return readCounter(metric, snapshot);
      case "gauge":
        return readGauge(metric, snapshot);
      case "histogram":
        return new ReadHistogram(metric, snapshot);
    }
  }
}

function readCounter(metric: NumberMetric, snapshot: () => NodeSnapshot): Counter {
  return new Counter({
    ...configOf(metric),
    collect() {
      this.reset();
      for (const { labels, value } of metric.read(snapshot())) this.inc(labels, value);
    },
  });
}

function readGauge(metric: NumberMetric, snapshot: () => NodeSnapshot): Gauge {
  return new Gauge({
    ...configOf(metric),
    collect() {
      this.reset();
      for (const { labels, value } of metric.read(snapshot())) this.set(labels, value);
    },
  });
}

/** prom-client's own can only observe one value after the other. */
class ReadHistogram extends Histogram {
  readonly #metric: HistogramMetric;
  readonly #snapshot: () => NodeSnapshot;

  constructor(metric: HistogramMetric, snapshot: () => NodeSnapshot) {
    super(configOf(metric));
    this.#metric = metric;
    this.#snapshot = snapshot;
  }

  /** What a registry asks for; prom-client's types don't have it. */
  async getForPromString(): Promise<object> {
    const { name, help, type } = this.#metric;
    const values = this.#metric.read(this.#snapshot()).flatMap(({ labels, value: reading }) => {
      let count = 0;
      const buckets = reading.counts.map((more, i) => {
        count += more;
        const bound = reading.boundsMs[i];
        const le = bound === undefined ? "+Inf" : String(secondsOf(bound));
        return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: count };
      });
      return [
        ...buckets,
        { metricName: `${name}_sum`, labels, value: secondsOf(reading.sumMs) },
        { metricName: `${name}_count`, labels, value: count },
      ];
    });
    return { name, help, type, values, aggregator: "sum" };
  }
}

function configOf({ name, help, labels }: Metric) {
  return { name, help, labelNames: [...labels], registers: [] };
}

/** Rounded to what doubles hold exactly enough: 0.0025 and not 0.0024999999999999996. */
function secondsOf(ms: number): number {
  return Number((ms / 1_000).toPrecision(12));
}
