/** The results of the doors benchmark, and how they are shown. */
import type { Machine } from "../live/live-report.ts";
import type { DoorName } from "./protocol.ts";
import type { SrtpCostRow } from "./srtp-cost.ts";

export interface DoorRow {
  readonly door: DoorName;
  /** Cipher, versions. */
  readonly note: string;
  /** CPU of the receiving process a packet, all its threads; median of the rounds. */
  readonly micros: number;
  /** Least and most of the rounds. */
  readonly range: readonly [number, number];
  /** With 50 packets a second, were receiving all that a core does. */
  readonly participantsPerCore: number;
  /** Of what was sent; the worst round. */
  readonly receivedShare: number;
}

export interface DoorReport {
  readonly bench: "doors";
  readonly machine: Machine;
  readonly streams: number;
  readonly seconds: number;
  readonly rounds: number;
  readonly rows: readonly DoorRow[];
  /** Doors that could not be opened, and why. */
  readonly missing: Readonly<Record<string, string>>;
  readonly srtp: readonly SrtpCostRow[];
}

const TITLES: Readonly<Record<DoorName, string>> = {
  rtp: "plain RTP",
  "srtp-cm": "SRTP",
  "srtp-gcm": "SRTP",
  whip: "WHIP, our SRTP",
  "whip-werift": "WHIP, werift's SRTP",
  "node-datachannel": "node-datachannel's own receiver",
  mediasoup: "mediasoup DirectTransport",
};

export function doorsMarkdown(report: DoorReport): string {
  const { machine } = report;
  const missing = Object.entries(report.missing).map(
    ([door, reason]) => `\nNot measured: ${door} (${reason}).`,
  );
  return [
    `${machine.cpu}, ${machine.cores} cores, Node ${machine.node}; ${machine.date}, commit ${machine.commit}. ` +
      `${report.streams} streams of 50 packets a second, ${report.rounds} rounds of ${report.seconds} s in turns, medians.`,
    "",
    "| door | cipher | µs CPU a packet | range | participants per core | received |",
    "| --- | --- | ---: | ---: | ---: | ---: |",
    ...report.rows.map(
      (row) =>
        `| ${TITLES[row.door]} | ${row.note} | ${row.micros.toFixed(1)} | ` +
        `${row.range.map((micros) => micros.toFixed(1)).join("–")} | ${row.participantsPerCore} | ` +
        `${(100 * row.receivedShare).toFixed(1)} % |`,
    ),
    ...missing,
    "",
    "SRTP and parsing alone, without sockets:",
    "",
    "| | µs a packet | best round |",
    "| --- | ---: | ---: |",
    ...report.srtp.map(
      ({ name, micros, bestMicros }) => `| ${name} | ${micros.toFixed(2)} | ${bestMicros.toFixed(2)} |`,
    ),
  ].join("\n");
}
