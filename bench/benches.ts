/** Every benchmark and what it can be asked for. Which script runs is index.ts. */
import type { Bench, BenchOptions } from "./arguments.ts";
import { OWN_DOORS } from "./live/protocol.ts";

export const LIVE = {
  name: "live",
  about: "How many participants one core carries, whole path, real RTP.",
  options: {
    peer: {
      kind: "choice",
      of: ["naive"],
      says: "also measure the literal wiring, in turns with Tonetap",
    },
    rounds: { kind: "number", min: 1, max: 9, default: 1, says: "ramps of each; their median counts" },
    seconds: { kind: "number", min: 2, max: 60, default: 8, says: "measured seconds of a step" },
    participants: {
      kind: "numbers",
      min: 1,
      max: 4_000,
      says: "hold this load once, with the profiler on, instead of ramping; with --shards the loads",
    },
    shards: {
      kind: "numbers",
      min: 0,
      max: 64,
      says: "what a participant costs on so many threads (0: the main one), each in turns",
    },
    door: {
      kind: "choice",
      of: OWN_DOORS,
      default: "rtp",
      says: "with --shards: by which participants come; rtp: a UDP port each; sip: two, as a call has them",
    },
    talk: {
      kind: "number",
      min: 0.05,
      max: 1,
      default: 1,
      says: "share of its time that a participant talks; a conversation: 0.4",
    },
    json: {
      kind: "text",
      value: "FILE",
      says: "where the figures go (default bench/results/live.local.json; with --write, live.json)",
    },
    write: { kind: "flag", says: "put the tables into docs/performance.md; not with --talk" },
  },
} as const satisfies Bench<BenchOptions>;

export const MEMORY = {
  name: "memory",
  about: "What a participant holds in memory beyond its transport.",
  options: {
    participants: { kind: "number", min: 40, max: 10_000, default: 1_000, says: "of the last of nine loads" },
  },
} as const satisfies Bench<BenchOptions>;

export const FEATURES = {
  name: "features",
  about: "What a feature frame costs: three extractors in turns.",
  options: {},
} as const satisfies Bench<BenchOptions>;

export const INFERENCE = {
  name: "inference",
  about: "What a window costs in the model: by its new frames, by batches and threads, by load, by engine.",
  options: {
    model: { kind: "text", value: "NAME|FOLDER", says: "a bundled model, or a package" },
    rounds: {
      kind: "number",
      min: 1,
      max: 101,
      says: "of each setting, in turns; their median counts (default 7, of the engines 3)",
    },
    only: { kind: "choice", of: ["incremental"], says: "that table alone" },
    device: {
      kind: "choice",
      of: ["cpu", "cuda", "tensorrt", "webgpu"],
      default: "cpu",
      says: "where latency against load is measured; the table of engines has all that work",
    },
    packages: {
      kind: "text",
      value: "FOLDER",
      says: "whose node_modules hold TensorFlow.js, if not test/peers",
    },
    json: { kind: "text", value: "FILE", says: "where the figures go too" },
  },
} as const satisfies Bench<BenchOptions>;

export const DOORS = {
  name: "doors",
  about: "What a received packet costs, by the way that it comes in.",
  options: {
    streams: { kind: "number", min: 1, max: 200, default: 50, says: "of 50 packets a second" },
    seconds: { kind: "number", min: 1, max: 60, default: 4, says: "measured seconds of a round" },
    rounds: { kind: "number", min: 1, max: 20, default: 3, says: "of each door, in turns" },
    json: { kind: "text", value: "FILE", says: "where the figures go, if not to bench/results/doors.json" },
    write: { kind: "flag", says: "put the tables into docs/performance.md" },
  },
} as const satisfies Bench<BenchOptions>;

export const EVENTS = {
  name: "events",
  about: "Subscribers over real sockets, first all of them reading, then some that never do.",
  options: {
    subscribers: { kind: "number", min: 1, max: 10_000, default: 1_000, says: "WebSocket connections" },
    participants: { kind: "number", min: 1, max: 100_000, default: 500, says: "who make emotion events" },
    rate: { kind: "number", min: 0.1, max: 100, default: 2, says: "events of each a second" },
    calls: {
      kind: "number",
      min: 1,
      max: 10_000,
      default: 20,
      says: "calls that a subscriber's filter names",
    },
    deaf: { kind: "number", min: 0, max: 10_000, default: 100, says: "subscribers who never read" },
    seconds: { kind: "number", min: 1, max: 600, default: 20, says: "measured seconds of each" },
  },
} as const satisfies Bench<BenchOptions>;

export const TRACING = {
  name: "tracing",
  about: "What traces cost an event, without an SDK and with one.",
  options: {},
} as const satisfies Bench<BenchOptions>;

export const PAGE = {
  name: "page",
  about: "Frame times of the page with 50 participants, in Chromium.",
  options: {},
} as const satisfies Bench<BenchOptions>;

export const BENCHES: readonly Bench<BenchOptions>[] = [
  LIVE,
  MEMORY,
  FEATURES,
  INFERENCE,
  DOORS,
  EVENTS,
  TRACING,
  PAGE,
];
