/**
 * Every command and every option, in one table: the parser, the help, `docs/options.md` and the validation are made
 * from it. A flag beats its environment variable, which beats the default.
 */
import { backupsMax, defaultNodeConfig, evictionPolicies } from "../config.ts";
import { drainSources } from "../http/control.ts";
import { clusterModes } from "../redis/context.ts";
import {
  address,
  addressOrOff,
  duration,
  httpUrl,
  type Kind,
  memory,
  name,
  natsServers,
  oneOf,
  optionalHost,
  optionalName,
  seconds,
  secret,
  toggle,
  whole,
} from "./values.ts";

export const commands = {
  start: {
    operands: [],
    summary: "Runs one node of a cluster that agrees through NATS. The command if none is named.",
  },
  dev: { operands: [], summary: "Runs a whole cluster in this one process, without NATS." },
  status: {
    operands: [],
    summary:
      "Prints the members, what each has and does, and where copies are missing or moving. Exit code 1 if partitions have no " +
      "owner or too few copies.",
  },
  drain: {
    operands: [],
    summary: "Asks a node to hand everything over and leave, and waits until it has. Its process ends.",
  },
  rebalance: {
    operands: [],
    summary: "Asks for a plan now, and waits until nothing moves and no copy is missing.",
  },
  get: {
    operands: ["KEY"],
    summary: "Prints the value of a key. Exit code 1 if there is none.",
  },
  set: { operands: ["KEY", "VALUE"], summary: "Stores a value under a key." },
  del: { operands: ["KEY"], summary: "Deletes a key. Also fine if it isn't there." },
  owner: { operands: ["KEY"], summary: "Prints the id of the node that owns a key." },
} as const satisfies Record<string, { operands: readonly string[]; summary: string }>;

export type CommandName = keyof typeof commands;

export interface Option<T> {
  readonly kind: Kind<T>;
  /** As it would be typed; empty: there is none, or the description says how it is found. */
  readonly default: string;
  /** Where a command's default is another one. */
  readonly defaultIn?: Partial<Record<CommandName, string>>;
  /** The environment variable; absent for what makes sense for a single call only. */
  readonly env?: string;
  readonly commands: readonly CommandName[];
  readonly description: string;
  /** Exit code for a value that breaks the bound; 2 unless said otherwise. */
  readonly refusedWith?: 1 | 2;
}

const node: readonly CommandName[] = ["start"];
const nodes: readonly CommandName[] = ["start", "dev"];
const client: readonly CommandName[] = ["status", "drain", "rebalance", "get", "set", "del", "owner"];

function option<T>(definition: Option<T>): Option<T> {
  return definition;
}

export const options = {
  node: option({
    kind: name("_.-", "`-`, `_` or `.`"),
    default: "node-1",
    env: "RINGCACHE_NODE",
    commands: node,
    description: "Unique node identifier.",
    // The command line is well formed; it is the platform that can't have such a member.
    refusedWith: 1,
  }),
  nats: option({
    kind: natsServers,
    default: "nats://localhost:4222",
    env: "RINGCACHE_NATS",
    commands: node,
    description: "NATS server URL; several with commas between them.",
  }),
  http: option({
    kind: address,
    default: ":8080",
    defaultIn: { dev: ":8081" },
    env: "RINGCACHE_HTTP",
    commands: nodes,
    description: "HTTP server address; `dev` counts up from it, one port per node.",
  }),
  redis: option({
    kind: addressOrOff,
    default: "off",
    defaultIn: { dev: ":6381" },
    env: "RINGCACHE_REDIS",
    commands: nodes,
    description:
      "Address for clients of the Redis protocol; `dev` counts up from it, one port per node. Whoever reaches it may read " +
      "and write everything, unless there is a password.",
  }),
  "redis-password": option({
    kind: secret,
    default: "",
    env: "RINGCACHE_REDIS_PASSWORD",
    commands: nodes,
    description: "What Redis clients must give with AUTH or HELLO, as the user `default`; empty: nothing.",
  }),
  "redis-cluster": option({
    kind: oneOf(...clusterModes),
    default: "auto",
    env: "RINGCACHE_REDIS_CLUSTER",
    commands: nodes,
    description:
      "Which connections are answered with MOVED and CROSSSLOT instead of being served through this node: those that " +
      "have asked what only cluster-aware clients ask (auto), all, or none.",
  }),
  partitions: option({
    kind: whole(1, 16_384),
    default: "64",
    env: "RINGCACHE_PARTITIONS",
    commands: nodes,
    description: "Number of hash ring partitions; fixed when the platform is first started.",
  }),
  platform: option({
    kind: name("_-", "`-` or `_`"),
    default: "cache-platform",
    env: "RINGCACHE_PLATFORM",
    commands: nodes,
    description: "Platform name: nodes of one name on one NATS form a cluster.",
    refusedWith: 1,
  }),
  backups: option({
    kind: whole(0, backupsMax),
    default: String(defaultNodeConfig.backups),
    env: "RINGCACHE_BACKUPS",
    commands: nodes,
    description:
      "Copies of every partition beside its owner's, on as many other nodes; fewer while there are fewer nodes. " +
      "Give all nodes the same: the coordinator's counts.",
  }),
  nodes: option({
    kind: whole(1, 16),
    default: "3",
    env: "RINGCACHE_NODES",
    commands: ["dev"],
    description: "How many nodes to run.",
  }),
  advertise: option({
    kind: optionalHost,
    default: "",
    env: "RINGCACHE_ADVERTISE",
    commands: node,
    description:
      "Host that the other nodes reach this one at. If not given: the host of `--peer-port` if that names one; " +
      "127.0.0.1 while NATS is on this machine; else this machine's first external IPv4 address.",
  }),
  "peer-port": option({
    kind: address,
    default: ":0",
    env: "RINGCACHE_PEER_PORT",
    commands: node,
    description:
      "Where the links from other nodes are accepted; 0 is any free port. Without a host: every address, or the " +
      "loopback one if that is what is advertised.",
  }),
  zone: option({
    kind: optionalName,
    default: "",
    env: "RINGCACHE_ZONE",
    commands: node,
    description:
      "Failure zone of this node, such as its rack or data centre: no copy lies in the same named zone as its owner.",
  }),
  "max-memory": option({
    kind: memory,
    default: "50%",
    env: "RINGCACHE_MAX_MEMORY",
    commands: nodes,
    description:
      "Memory for the entries of this node, those of its backup copies included; a share is one of what the machine " +
      "or its container has. `dev` divides it among its nodes.",
  }),
  eviction: option({
    kind: oneOf(...evictionPolicies),
    default: defaultNodeConfig.eviction,
    env: "RINGCACHE_EVICTION",
    commands: nodes,
    description:
      "What goes when that memory is full: what is asked for least (s3-fifo), what was asked for longest ago (lru), or " +
      "nothing (none), and writes are refused. Give all nodes the same.",
  }),
  "request-deadline": option({
    kind: duration("10ms", "10m"),
    default: "5s",
    env: "RINGCACHE_REQUEST_DEADLINE",
    commands: nodes,
    description: "How long an operation may wait, for instance while its partition moves, before it fails.",
  }),
  heartbeat: option({
    kind: duration("50ms", "1m"),
    default: "1s",
    env: "RINGCACHE_HEARTBEAT",
    commands: nodes,
    description: "How often a node renews its membership.",
  }),
  lease: option({
    kind: duration("100ms", "10m"),
    default: "3s",
    env: "RINGCACHE_LEASE",
    commands: nodes,
    description:
      "How long a node may trust its last renewal, and a silent one is waited for; at least two heartbeats.",
  }),
  "drain-timeout": option({
    kind: duration("100ms", "60m"),
    default: "1m",
    env: "RINGCACHE_DRAIN_TIMEOUT",
    commands: nodes,
    description: "How long a node that is told to stop may take to hand its partitions over.",
  }),
  "drain-from": option({
    kind: oneOf(...drainSources),
    default: "loopback",
    env: "RINGCACHE_DRAIN_FROM",
    commands: nodes,
    description:
      "From where `POST /drain` may ask a node to leave: its own machine or pod (loopback), every address that reaches the " +
      "HTTP port, which asks for no password (anywhere), or none (nowhere).",
  }),
  "log-level": option({
    kind: oneOf("debug", "info", "warn", "error", "silent"),
    default: "info",
    env: "RINGCACHE_LOG_LEVEL",
    commands: nodes,
    description: "The least important events that are logged.",
  }),
  "log-format": option({
    kind: oneOf("auto", "human", "json"),
    default: "auto",
    env: "RINGCACHE_LOG_FORMAT",
    commands: nodes,
    description: "How events are logged, to stdout; auto is human on a terminal and json otherwise.",
  }),
  url: option({
    kind: httpUrl,
    default: "http://localhost:8080",
    env: "RINGCACHE_URL",
    commands: client,
    description: "HTTP address of any node.",
  }),
  timeout: option({
    kind: duration("10ms", "60m"),
    default: "10s",
    defaultIn: { drain: "5m", rebalance: "5m" },
    env: "RINGCACHE_TIMEOUT",
    commands: client,
    description: "How long to wait for the node's answer; `drain` and `rebalance`: until they are done.",
  }),
  ttl: option({
    kind: seconds,
    default: "0",
    commands: ["set"],
    description: "Seconds until the entry expires; 0 is never.",
  }),
  json: option({
    kind: toggle,
    default: "false",
    commands: ["status", "owner"],
    description: "Prints the node's answer as JSON; with `--watch` one line a second.",
  }),
  watch: option({
    kind: toggle,
    default: "false",
    commands: ["status"],
    description: "Refreshes once a second, until q or Ctrl-C; arrow keys scroll.",
  }),
} as const;

export type OptionName = keyof typeof options;
export const optionNames = Object.keys(options) as OptionName[];

/** The validated value of every option. */
export type Values = { readonly [K in OptionName]: (typeof options)[K] extends Option<infer T> ? T : never };
