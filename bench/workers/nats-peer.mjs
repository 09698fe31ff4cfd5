/** One side of NATS request/reply: answers with a constant, or asks. */
import { connect } from "@nats-io/transport-node";
import { closedLoop } from "../support/closed-loop.mjs";
import { serve } from "../support/serve.mjs";

const subject = "bench";
let connection;

serve({
  async connect(url) {
    // The client's fastest: it doesn't record a stack trace for each request, in case that it fails.
    connection = await connect({ servers: url, noAsyncTraces: true });
  },
  async answer(sizeBytes) {
    const reply = Buffer.alloc(sizeBytes, 0x61);
    connection.subscribe(subject, { callback: (_error, message) => message.respond(reply) });
    await connection.flush();
  },
  run(inFlight, seconds, requestBytes, replyBytes) {
    const payload = Buffer.alloc(requestBytes, 0x62);
    const issue = (done) => {
      connection.request(subject, payload, { timeout: 10_000 }).then((message) => {
        done(message.data.length === replyBytes ? undefined : new Error("not the answer expected"));
      }, done);
    };
    return closedLoop(issue, inFlight, seconds);
  },
});
