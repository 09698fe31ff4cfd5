/**
 * Known bugs, each behind a switch that only the simulator's tests turn on: they show that it would find them. All are off
 * in production and nothing there turns one on.
 */
export const planted = {
  /** A sealed partition is served again after a while, though the switch's answer is still out. */
  unsealByTimer: false,
  /** A write is acknowledged before its backups have it. */
  ackBeforeBackups: false,
  /** A backup takes writes from an owner of an earlier term. */
  acceptOlderTerm: false,
  /** A lease or grant counts from when its answer came instead of from before the request was sent. */
  leaseFromAnswer: false,
  /** The old owner deletes its copy at the switch. */
  deleteBeforeActive: false,
  /** A read returns a write that its backups don't have yet. */
  readUnreplicated: false,
  /** A member record that has expired is taken as proof of death. */
  expiryIsDeath: false,
  /** A compare-and-set without an answer is taken as failed. */
  timeoutIsFailure: false,
  /** A node serves on after a pause without looking at its lease. */
  resumeWithoutLease: false,
  /** A node that was declared dead serves what it held before when it is back. */
  serveStaleCopy: false,
};
