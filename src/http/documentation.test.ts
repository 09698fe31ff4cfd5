import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type ErrorCode, errorTable } from "../errors.ts";
import { defaultHttpLimits } from "./limits.ts";

describe("docs/http.md", () => {
  const page = readFileSync(new URL("../../docs/http.md", import.meta.url), "utf8");

  it("gives every error the status that it has", () => {
    const rows = [...page.matchAll(/^\| (\d{3}) \| `([A-Z_]+)` \|/gm)];
    expect(rows.length).toBeGreaterThan(15);
    for (const [, status, code] of rows) expect(errorTable[code as ErrorCode]?.status).toBe(Number(status));
  });

  it("names the limit that bodies have", () => {
    expect(page).toContain(`${defaultHttpLimits.bodySizeBytesMax.toLocaleString("en")} bytes`);
  });
});
