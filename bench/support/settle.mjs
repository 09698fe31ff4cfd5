/** Asking nodes over HTTP. */

export async function getJson(port, path) {
  const response = await fetch(`http://127.0.0.1:${port}${path}`);
  if (!response.ok) throw new Error(`GET ${path}: ${await response.text()}`);
  return response.json();
}

const waitMsMax = 60_000;

/** Resolves when the node on this port knows `nodes` members, every partition where it belongs and all its copies. */
export async function settled(port, nodes) {
  const giveUpAt = performance.now() + waitMsMax;
  for (;;) {
    const status = await getJson(port, "/status");
    const { unowned_partitions, moving_partitions, copying_partitions, under_replicated_partitions } = status;
    const open = unowned_partitions + moving_partitions + copying_partitions + under_replicated_partitions;
    if (open === 0 && status.members.length === nodes) return;
    if (performance.now() > giveUpAt) {
      throw new Error(`${nodes} nodes didn't settle within ${waitMsMax / 1000} s: ${JSON.stringify(status)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
