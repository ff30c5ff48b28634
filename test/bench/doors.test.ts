/** The doors benchmark: what it sends arrives, and what it says. */
import { expect, test } from "vitest";
import { type DoorReport, doorsMarkdown } from "../../bench/doors/doors-report.ts";
import { openRtpDoor } from "../../bench/doors/own-doors.ts";
import { play, udpPublishers } from "../../bench/doors/publishers.ts";
import { createSdes } from "../../src/transport/index.ts";
import { eventually } from "../transport/loopback.ts";

test("5 streams of 0.2 s under SRTP are 50 packets through the door", async () => {
  const { suite, key, salt } = createSdes(1, "AEAD_AES_128_GCM");
  const doorKey = { suite, inline: Buffer.concat([key, salt]).toString("base64") };
  let packets = 0;
  const door = await openRtpDoor({ streams: 5, key: doorKey, onPacket: () => void packets++ });

  const frames = await play(await udpPublishers(door.ports, 5, doorKey), 0.2, 0);
  await eventually(() => packets === 50);

  expect(frames).toBe(10);
  await door.close();
});

test("a door of 10 µs a packet is 2,000 participants a core; one that is not installed is named with the reason", () => {
  const report: DoorReport = {
    bench: "doors",
    machine: { cpu: "x", cores: 2, memoryGiB: 1, system: "s", node: "24", date: "d", commit: "c" },
    streams: 50,
    seconds: 4,
    rounds: 3,
    rows: [
      {
        door: "rtp",
        note: "no encryption",
        micros: 10,
        range: [9, 11],
        participantsPerCore: 2_000,
        receivedShare: 1,
      },
    ],
    missing: { mediasoup: "mediasoup is not installed" },
    srtp: [{ name: "ours", micros: 1.234, bestMicros: 1.2 }],
  };

  const markdown = doorsMarkdown(report);

  expect(markdown).toContain("| plain RTP | no encryption | 10.0 | 9.0–11.0 | 2000 | 100.0 % |");
  expect(markdown).toContain("Not measured: mediasoup (mediasoup is not installed).");
  expect(markdown).toContain("| ours | 1.23 | 1.20 |");
});
