import { describe, expect, it } from "vitest";
import { parseNatsUrls } from "./nats-url.ts";

describe("parseNatsUrls", () => {
  it("reads one URL, with and without scheme and port", () => {
    for (const url of ["nats://localhost:4222", "nats://localhost", "localhost:4222", " localhost "]) {
      expect(parseNatsUrls(url)).toEqual({
        servers: ["localhost:4222"],
        location: "nats://localhost:4222",
        tls: false,
      });
    }
  });

  it("reads several, IPv6 and TLS included", () => {
    expect(parseNatsUrls("nats://a:1, tls://b,[::1]:3,")).toEqual({
      servers: ["a:1", "b:4222", "[::1]:3"],
      location: "nats://a:1,tls://b:4222,nats://[::1]:3",
      tls: true,
    });
  });

  it("takes user and password, or a token, and keeps them out of the location", () => {
    expect(parseNatsUrls("nats://me:p%40ss%2F@h:1,nats://h:2")).toEqual({
      servers: ["h:1", "h:2"],
      location: "nats://h:1,nats://h:2",
      tls: false,
      user: "me",
      password: "p@ss/",
    });
    expect(parseNatsUrls("s3cret@h")).toMatchObject({ token: "s3cret", location: "nats://h:4222" });
  });

  it.each([
    "",
    ",",
    "http://h:1",
    "nats://",
    "nats://me:secret@",
    "nats://me:secret@h:99999",
    "ws://me:secret@h",
  ])("refuses %j with one sentence that shows no password", (url) => {
    let message = "";
    try {
      parseNatsUrls(url);
    } catch (error) {
      expect(error).toMatchObject({ code: "OPTION_INVALID" });
      message = (error as Error).message;
    }
    expect(message).toMatch(/NATS URL/);
    expect(message).not.toContain("secret");
  });
});
