/**
 * A service in a process of its own that is never still: participants come and go. Every event's id and kind go to a log
 * file, synchronously, so that what it says at its end is there too. Usage: node restarting-server.ts PORT LOG
 */
import { appendFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Subject } from "rxjs";
import type { AudioSource } from "../../src/core/audio-source.ts";
import type { RtpPacket } from "../../src/core/rtp.ts";
import { kindOf } from "../../src/events/index.ts";
import { Service } from "../../src/service.ts";

const [port = "0", log = "/dev/null"] = process.argv.slice(2);

function silentSource(): AudioSource {
  const packets = new Subject<RtpPacket>();
  return {
    kind: "test",
    codecs: new Map(),
    packets,
    close() {
      packets.complete();
      return Promise.resolve();
    },
  };
}

const service = await Service.open({
  service: { port: Number(port) },
  model: { package: fileURLToPath(new URL("../fixtures/tiny-model", import.meta.url)), device: "cpu" },
});
const { engine } = service;
engine.events$.subscribe((event) => appendFileSync(log, `${event.id} ${kindOf(event)}\n`));

let count = 0;
let going = true;
async function churn(): Promise<void> {
  // Nothing happens before somebody listens: then everything that happened can be accounted for.
  while (going && engine.hub.stats.subscribers === 0 && process.argv[4] === "wait") {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  while (going) {
    const source = silentSource();
    const participant = await engine.attach(source, {
      callId: `call-${count % 3}`,
      participantId: `p-${count++}`,
    });
    await new Promise((resolve) => setTimeout(resolve, 10));
    if (count % 4 !== 0) await participant.close();
  }
}

process.once("SIGTERM", () => {
  going = false;
  void service.close().then(() => process.exit(0));
});
process.send?.({ url: service.url.href });
// The engine that closes refuses the next participant: the end of this.
await churn().catch(() => undefined);
