import { expect, test } from "vitest";
import type { StatusReport } from "../cache/command.ts";
import { formatStatus } from "./status.ts";

const member = {
  ...{ id: "node-1", peer: "127.0.0.1:7001", http: "127.0.0.1:8081", zone: "", leaving: false },
  ...{ dead: "" as const, partitions: 33, backups: 31 },
};

test("the fewest copies come first, and who is leaving, dead or silent is marked", () => {
  const report: StatusReport = {
    platform: "cache-platform",
    epoch: 12,
    coordinator: "node-1",
    coordination: "connected",
    backups: 1,
    members: [
      member,
      { ...member, id: "node-2", peer: "127.0.0.1:7002", http: "", zone: "rack-b", leaving: true },
      { ...member, id: "node-3", partitions: 0, backups: 1, dead: "silent" },
      { ...member, id: "node-10", partitions: 0, backups: 0, dead: "gone" },
    ],
    copies: { 2: 63, 1: 1 },
    under_replicated_partitions: 1,
    copying_partitions: 1,
    moving_partitions: 0,
    unowned_partitions: 0,
    unsettled_partitions: 1,
  };
  expect(formatStatus(report)).toBe(`platform        cache-platform
coordination    connected
coordinator     node-1
epoch           12
copies          1 of 2: 1 partition, 2 of 2: 63 partitions
too few copies  1 partition
being copied    1 partition
moving          0 partitions
unowned         0 partitions

NODE     PARTITIONS  BACKUPS  ZONE    HTTP            PEER
node-1   33          31       -       127.0.0.1:8081  127.0.0.1:7001
node-2   33          31       rack-b  -               127.0.0.1:7002  leaving
node-3   0           1        -       127.0.0.1:8081  127.0.0.1:7001  silent
node-10  0           0        -       127.0.0.1:8081  127.0.0.1:7001  dead
`);
});
