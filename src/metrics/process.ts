/** The metrics of the process: one set of them, whichever nodes run in it, as what gathers them costs a timer and an observer each. */
import { collectDefaultMetrics, Registry } from "prom-client";

/** Of what prom-client has, what helps to run ringcache. For the documentation: what each is, and what to do when it moves. */
export const processMetrics = {
  process_cpu_seconds_total: {
    help: "CPU time of the process.",
    advice:
      "A node uses one core, and a little of another. Near 1 per second it has no more to give: add nodes.",
  },
  process_cpu_user_seconds_total: { help: "The part of it in user space.", advice: "" },
  process_cpu_system_seconds_total: { help: "The part of it in the kernel.", advice: "Sockets." },
  process_start_time_seconds: {
    help: "When the process began, in seconds since 1970.",
    advice: "Changes with a restart.",
  },
  process_resident_memory_bytes: {
    help: "Memory that the process has.",
    advice:
      "`--max-memory` and 100 to 250 MB when full; it doesn't shrink. Near the container's limit: lower `--max-memory`.",
  },
  process_virtual_memory_bytes: { help: "Memory that it has reserved.", advice: "Nothing." },
  process_heap_bytes: { help: "Its data segment, as the kernel counts it.", advice: "" },
  process_open_fds: { help: "Open files.", advice: "One for each connection, of clients and of nodes." },
  process_max_fds: {
    help: "How many it may open.",
    advice: "Raise it (`ulimit -n`) before the open ones reach it.",
  },
  nodejs_eventloop_lag_seconds: { help: "How late the event loop was at the scrape.", advice: "" },
  nodejs_eventloop_lag_min_seconds: {
    help: "The least delay of the event loop since the last scrape. In this and the following is the interval of the timer that measures, 0.01.",
    advice: "",
  },
  nodejs_eventloop_lag_max_seconds: {
    help: "The greatest.",
    advice: "Near the lease (3 s) the node is taken for dead: is the machine short of CPU, or does it swap?",
  },
  nodejs_eventloop_lag_mean_seconds: { help: "On average.", advice: "" },
  nodejs_eventloop_lag_stddev_seconds: { help: "The standard deviation.", advice: "" },
  nodejs_eventloop_lag_p50_seconds: { help: "Half of the time less than this.", advice: "" },
  nodejs_eventloop_lag_p90_seconds: { help: "Nine tenths of the time less than this.", advice: "" },
  nodejs_eventloop_lag_p99_seconds: {
    help: "99 hundredths of the time less than this.",
    advice: "Well above 0.01: too much load, or very large values.",
  },
  nodejs_heap_size_total_bytes: { help: "Size of V8's heap; entries aren't in it.", advice: "" },
  nodejs_heap_size_used_bytes: {
    help: "What is in use of it.",
    advice: "Tens of megabytes, more while operations wait. If it only grows: report it.",
  },
  nodejs_external_memory_bytes: {
    help: "Memory of buffers outside V8's heap, as far as V8 counts it.",
    advice: "",
  },
  nodejs_gc_duration_seconds: {
    help: "Collections of garbage, by `kind`.",
    advice: "Milliseconds; `major` ones are rare.",
  },
} as const;

export class ProcessExposition {
  readonly #registry = new Registry();

  constructor() {
    collectDefaultMetrics({ register: this.#registry });
    for (const { name } of this.#registry.getMetricsAsArray()) {
      if (!Object.hasOwn(processMetrics, name)) this.#registry.removeSingleMetric(name);
    }
  }

  /** As it is now; delays of the event loop since the last time. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }
}
