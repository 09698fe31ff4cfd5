/** The metrics of the process: one set of them, whichever nodes run in it, as what gathers them costs a timer and an observer each. */
import { collectDefaultMetrics, Registry } from "prom-client";

/** Of what prom-client has, what helps to run ringcache; what to do when each moves. */
export const processAdvice = {
  process_cpu_user_seconds_total: "As below, without the kernel's part.",
  process_cpu_system_seconds_total: "As below, the kernel's part: sockets.",
  process_cpu_seconds_total:
    "A node uses one core, and a little of another. Near 1 per second it has no more to give: add nodes.",
  process_start_time_seconds: "Changes with a restart.",
  process_resident_memory_bytes:
    "`--max-memory` and 100 to 250 MB when full; it doesn't shrink. Near the container's limit: lower `--max-memory`.",
  process_virtual_memory_bytes: "Nothing: reserved, not used.",
  process_heap_bytes: "The data segment as the kernel counts it; as the resident memory.",
  process_open_fds: "One for each connection, of clients and of nodes.",
  process_max_fds: "Raise it (`ulimit -n`) long before the open ones reach it.",
  nodejs_eventloop_lag_seconds: "How late the event loop was when it was asked; of that one moment.",
  nodejs_eventloop_lag_min_seconds: "As the next.",
  nodejs_eventloop_lag_max_seconds:
    "Since the last scrape; about 0.01 when nothing is to be done, as it has the interval of the timer that measures in it. Near the lease (3 s) the node is taken for dead: is the machine short of CPU, or does it swap?",
  nodejs_eventloop_lag_mean_seconds: "As above, on average.",
  nodejs_eventloop_lag_stddev_seconds: "As above, how much it varies.",
  nodejs_eventloop_lag_p50_seconds: "As above, half of the time.",
  nodejs_eventloop_lag_p90_seconds: "As above, nine tenths of the time.",
  nodejs_eventloop_lag_p99_seconds:
    "What every hundredth operation waits for at least: too much load, or very large values.",
  nodejs_heap_size_total_bytes: "Of V8. Entries aren't in it.",
  nodejs_heap_size_used_bytes: "Tens of megabytes, more while operations wait. If it only grows: report it.",
  nodejs_external_memory_bytes: "Buffers outside V8's heap: sockets, and the memory of entries.",
  nodejs_gc_duration_seconds: "Pauses of milliseconds; `major` ones are rare.",
} as const;

export class ProcessExposition {
  readonly #registry = new Registry();

  constructor() {
    collectDefaultMetrics({ register: this.#registry });
    for (const { name } of this.#registry.getMetricsAsArray()) {
      if (!Object.hasOwn(processAdvice, name)) this.#registry.removeSingleMetric(name);
    }
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  /** By name. */
  get help(): ReadonlyMap<string, string> {
    return new Map(this.#registry.getMetricsAsArray().map(({ name, help }) => [name, help]));
  }
}
