/** werift is 40 MB and 0.2 s of a thread: a thread that opens no WebRTC connections does without it. By `--eval`, as programs are tried out. */
import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";

const SERVICE = new URL("../../src/service.ts", import.meta.url).href;

/** Whether the main thread of a service with so many shards has read werift, once it is up. */
function readsWerift(shards: number): boolean {
  const script = `
    import { registerHooks } from "node:module";
    let read = false;
    registerHooks({ load: (url, context, next) => {
      read ||= url.includes("/node_modules/werift/");
      return next(url, context);
    } });
    const { Service } = await import(${JSON.stringify(SERVICE)});
    await using service = await Service.open({ service: { port: 0 }, shards: { count: ${shards} } });
    await fetch(new URL("healthz", service.url));
    console.log(read);`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", script], {
    encoding: "utf8",
    timeout: 60_000,
  });
  if (stdout !== "true\n" && stdout !== "false\n") throw new Error(`the service did not come up: ${stderr}`);
  return stdout === "true\n";
}

test("without shards it is there before the first publisher is", () => {
  expect(readsWerift(0)).toBe(true);
});

test("with 1 shard the main thread never reads it", () => {
  expect(readsWerift(1)).toBe(false);
});
