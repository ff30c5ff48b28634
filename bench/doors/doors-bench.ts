/** `npm run bench -- doors`: what it costs to receive through each door. Rounds, table and files; the rest is beside it. */
import { type ChildProcess, fork } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { sleep, systemClock } from "../../src/core/clock.ts";
import { TonetapError } from "../../src/core/errors.ts";
import { createSdes } from "../../src/transport/index.ts";
import { benchArguments } from "../arguments.ts";
import { DOORS as BENCH } from "../benches.ts";
import { replaceBetween } from "../live/live-report.ts";
import { describeMachine } from "../live/machine.ts";
import { median } from "../live/statistics.ts";
import { webrtcSender } from "../webrtc-sender.ts";
import { type DoorReport, type DoorRow, doorsMarkdown } from "./doors-report.ts";
import { DOORS, type DoorKey, type DoorName, type FromReceiver, type ToReceiver } from "./protocol.ts";
import { type Publisher, packet, play, udpPublishers } from "./publishers.ts";
import { measureSrtp } from "./srtp-cost.ts";

const PAGE = fileURLToPath(new URL("../../docs/performance.md", import.meta.url));
const RESULTS = fileURLToPath(new URL("../results/doors.json", import.meta.url));
const BEGIN = "<!-- bench doors: begin -->";
const END = "<!-- bench doors: end -->";
/** Sent before it counts: code is compiled, sockets and jitter settle. */
const WARM_UP_S = 3;
/** Packets on their way when the sender stops. */
const DRAIN_MS = 100;

const SUITES: Partial<Record<DoorName, DoorKey["suite"]>> = {
  "srtp-cm": "AES_CM_128_HMAC_SHA1_80",
  "srtp-gcm": "AEAD_AES_128_GCM",
};

interface Measured {
  readonly micros: number;
  readonly receivedShare: number;
  readonly note: string;
}

/** One run of one door, in a process of its own. @throws TonetapError unavailable when its packages are not there. */
async function measure(door: DoorName, streams: number, seconds: number): Promise<Measured> {
  const suite = SUITES[door];
  const key = suite === undefined ? undefined : newKey(suite);
  const args = [door, `${streams}`, ...(key === undefined ? [] : [key.suite, key.inline])];
  const receiver = new Receiver(fork(new URL("./receiver.ts", import.meta.url), args));
  const closers: (() => Promise<void>)[] = [];
  try {
    const { ports, note } = await receiver.next("ready");
    const publishers: Publisher[] = [];
    if (ports.length > 0) publishers.push(...(await udpPublishers(ports, streams, key)));
    for (let stream = publishers.length; stream < streams; stream++) {
      const { send, close } = await webrtcSender(async (sdp) => {
        const { sdp: answer } = await receiver.ask({ kind: "offer", stream, sdp }, "answer");
        return answer;
      });
      publishers.push((n) => send(packet(n, 1 + stream)));
      closers.push(close);
    }
    const warmed = await play(publishers, WARM_UP_S, 0);
    await receiver.ask({ kind: "start" }, "started");
    const frames = await play(publishers, seconds, warmed);
    await sleep(systemClock, DRAIN_MS);
    const { packets, cpuMicros } = await receiver.ask({ kind: "stop" }, "measured");
    return { micros: cpuMicros / packets, receivedShare: packets / (frames * streams), note };
  } finally {
    receiver.close();
    await Promise.all(closers.map((close) => close()));
  }
}

class Receiver {
  readonly #child: ChildProcess;

  constructor(child: ChildProcess) {
    this.#child = child;
  }

  ask<K extends FromReceiver["kind"]>(message: ToReceiver, kind: K) {
    const answer = this.next(kind);
    this.#child.send(message);
    return answer;
  }

  /** @throws TonetapError unavailable with its reason */
  next<K extends FromReceiver["kind"]>(kind: K): Promise<Extract<FromReceiver, { kind: K }>> {
    return new Promise((resolve, reject) => {
      this.#child.once("message", (message: FromReceiver) => {
        if (isKind(message, kind)) resolve(message);
        else reject(new TonetapError("unavailable", "reason" in message ? message.reason : message.kind));
      });
    });
  }

  /** Killed, not asked: node-datachannel crashes or hangs when its process ends by itself. */
  close(): void {
    this.#child.removeAllListeners("message");
    this.#child.kill("SIGKILL");
  }
}

const isKind = <K extends FromReceiver["kind"]>(
  message: FromReceiver,
  kind: K,
): message is Extract<FromReceiver, { kind: K }> => message.kind === kind;

function newKey(suite: DoorKey["suite"]): DoorKey {
  const { key, salt } = createSdes(1, suite);
  return { suite, inline: Buffer.concat([key, salt]).toString("base64") };
}

/** Doors in turns, round by round. */
async function run(streams: number, seconds: number, rounds: number): Promise<DoorReport> {
  const measured = new Map<DoorName, Measured[]>();
  const missing = new Map<DoorName, string>();
  for (let round = 0; round < rounds; round++) {
    for (const door of DOORS) {
      if (missing.has(door)) continue;
      try {
        const one = await measure(door, streams, seconds);
        measured.set(door, [...(measured.get(door) ?? []), one]);
        console.log(`round ${round + 1}  ${door}: ${one.micros.toFixed(1)} µs a packet`);
      } catch (error) {
        const { message } = TonetapError.from(error);
        missing.set(door, message);
        console.warn(`${door} is left out: ${message}`);
      }
    }
  }
  const rows = DOORS.flatMap((door): DoorRow[] => {
    const runs = measured.get(door) ?? [];
    if (runs.length === 0) return [];
    const micros = median(runs.map((one) => one.micros));
    return [
      {
        door,
        note: runs[0]?.note ?? "",
        micros,
        range: [Math.min(...runs.map((one) => one.micros)), Math.max(...runs.map((one) => one.micros))],
        participantsPerCore: Math.floor(1e6 / (50 * micros)),
        receivedShare: Math.min(...runs.map((one) => one.receivedShare)),
      },
    ];
  });
  return {
    bench: "doors",
    machine: describeMachine(),
    streams,
    seconds,
    rounds,
    rows,
    missing: Object.fromEntries(missing),
    srtp: measureSrtp(15),
  };
}

const { streams, seconds, rounds, json, write } = benchArguments(BENCH);
const report = await run(streams, seconds, rounds);
const markdown = doorsMarkdown(report);
console.log(`\n${markdown}`);
const file = json ?? RESULTS;
await mkdir(dirname(file), { recursive: true });
await writeFile(file, `${JSON.stringify(report, null, 1)}\n`);
console.log(`Written: ${file}`);
if (write) {
  const page = replaceBetween(await readFile(PAGE, "utf8"), BEGIN, END, markdown);
  if (page === undefined) throw new TonetapError("not-found", `${PAGE} has no ${BEGIN} … ${END}`);
  await writeFile(PAGE, page);
  console.log(`Written: ${PAGE}`);
}
// Sockets of WebRTC peers close when they like.
process.exit(0);
