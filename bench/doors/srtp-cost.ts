/** SRTP and parsing alone, without sockets: ours and werift's on the same packets. */
import { RtpPacket, SrtpSession } from "werift";
import { systemClock } from "../../src/core/clock.ts";
import { createSdes, parseRtp, SrtpReceiver, SrtpSender } from "../../src/transport/index.ts";
import { median } from "../live/statistics.ts";
import { packet } from "./publishers.ts";

export interface SrtpCostRow {
  readonly name: string;
  /** CPU a packet, median and least of the rounds. */
  readonly micros: number;
  readonly bestMicros: number;
}

/** Packets of a stretch; each is protected anew, since none passes twice. */
const STRETCH = 10_000;
const SUITES = ["AES_CM_128_HMAC_SHA1_80", "AEAD_AES_128_GCM"] as const;

export function measureSrtp(rounds: number): SrtpCostRow[] {
  const cases = [
    { name: "parse only, no SRTP", run: parseAlone },
    ...SUITES.map((suite) => ({ name: `ours, ${suite}, and parse`, run: () => ours(suite) })),
    ...SUITES.map((suite) => ({ name: `werift, ${suite}, and parse`, run: () => weriftOnly(suite) })),
  ];
  const micros = cases.map((): number[] => []);
  // Interleaved; round 0 warms up.
  for (let round = 0; round <= rounds; round++) {
    for (const [i, { run }] of cases.entries()) {
      const one = run();
      if (round > 0) micros[i]?.push(one);
    }
  }
  return cases.map(({ name }, i) => ({
    name,
    micros: median(micros[i] ?? []),
    bestMicros: Math.min(...(micros[i] ?? [])),
  }));
}

function parseAlone(): number {
  const now = systemClock.now();
  return time(
    Array.from({ length: STRETCH }, (_, n) => packet(n, 1)),
    (datagram) => {
      parseRtp(datagram, now);
    },
  );
}

function ours(suite: (typeof SUITES)[number]): number {
  const now = systemClock.now();
  const { sealed, key } = protect(suite);
  const receiver = new SrtpReceiver(key);
  return time(sealed, (datagram) => {
    const plain = receiver.unprotectRtp(datagram);
    if (typeof plain !== "string") parseRtp(plain, now);
  });
}

function weriftOnly(suite: (typeof SUITES)[number]): number {
  const { sealed, key } = protect(suite);
  const masterKey = Buffer.from(key.key);
  const masterSalt = Buffer.from(key.salt);
  const session = new SrtpSession({
    keys: {
      localMasterKey: masterKey,
      localMasterSalt: masterSalt,
      remoteMasterKey: masterKey,
      remoteMasterSalt: masterSalt,
    },
    profile: suite === "AEAD_AES_128_GCM" ? 7 : 1,
  });
  return time(
    sealed.map((datagram) => Buffer.from(datagram)),
    (datagram) => {
      RtpPacket.deSerialize(session.decrypt(datagram));
    },
  );
}

function protect(suite: (typeof SUITES)[number]) {
  const key = createSdes(1, suite);
  const sender = new SrtpSender(key);
  return { key, sealed: Array.from({ length: STRETCH }, (_, n) => sender.protectRtp(packet(n, 1))) };
}

/** µs of CPU a packet. */
function time<T>(datagrams: readonly T[], read: (datagram: T) => void): number {
  // With the collector's threads, whose work is these objects. A thread's own time is kept to 4 ms only.
  const before = process.cpuUsage();
  for (const datagram of datagrams) read(datagram);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / datagrams.length;
}
