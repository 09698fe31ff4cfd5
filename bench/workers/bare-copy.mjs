/** Bytes from one process to another over a bare TCP connection, as fast as Node writes and reads them. */
import { connect, createServer } from "node:net";
import { serve } from "../support/serve.mjs";

const chunk = Buffer.alloc(64 * 1024, 0x61);

serve({
  /** Takes what comes, and says so once as many bytes as the first eight name have come. */
  listen() {
    return new Promise((resolve) => {
      const server = createServer((socket) => {
        let missing;
        socket.on("data", (bytes) => {
          missing = (missing ?? Number(bytes.readBigUInt64BE()) + 8) - bytes.length;
          if (missing === 0) socket.end("done");
        });
      });
      server.listen(0, "127.0.0.1", () => resolve(server.address().port));
    });
  },
  /** Resolves with the seconds until the other side had all of `sizeBytes`, a multiple of 64 KiB. */
  send(port, sizeBytes) {
    return new Promise((resolve, reject) => {
      const startedAtMs = performance.now();
      const size = Buffer.alloc(8);
      size.writeBigUInt64BE(BigInt(sizeBytes));
      let left = sizeBytes;
      const socket = connect(port, "127.0.0.1", () => {
        socket.write(size);
        write();
      });
      const write = () => {
        while (left > 0) {
          left -= chunk.length;
          if (!socket.write(chunk)) return;
        }
      };
      socket.on("drain", write);
      socket.on("data", () => resolve((performance.now() - startedAtMs) / 1000));
      socket.on("error", reject);
    });
  },
});
