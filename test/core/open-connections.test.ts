import { expect, test } from "vitest";
import { OpenConnections } from "../../src/core/open-connections.ts";
import { ManualClock } from "../support/manual-clock.ts";

/** Connections whose peers go when they are told to, or only when they are cut off. */
function connected(clock: ManualClock, peers: Readonly<Record<string, "polite" | "stubborn">>) {
  const said: string[] = [];
  const connections = new OpenConnections<string, { name: string; manners: string }>();
  for (const [name, manners] of Object.entries(peers)) connections.add(name, { name, manners });
  const dismissed = connections.dismiss(clock, {
    graceMs: 2_000,
    goodbye: ({ name, manners }) => {
      said.push(`goodbye ${name}`);
      if (manners === "polite") connections.remove(name);
    },
    cutOff: (name) => {
      said.push(`cut off ${name}`);
      connections.remove(name);
    },
  });
  return { connections, said, dismissed };
}

test("of 3 peers 2 go when they are told to; 1 is cut off after 2,000 ms and not before", async () => {
  const clock = new ManualClock();
  const { connections, said, dismissed } = connected(clock, { a: "polite", b: "stubborn", c: "polite" });
  clock.advance(1_999);
  expect(connections.size).toBe(1);
  expect([...connections].map(([socket]) => socket)).toEqual(["b"]);

  clock.advance(1);
  await dismissed;

  expect(said).toEqual(["goodbye a", "goodbye b", "goodbye c", "cut off b"]);
  expect([...connections.sessions()]).toEqual([]);
});

test("when the last of 2 peers has gone by itself, it is over at once: 0 timers are left", async () => {
  const clock = new ManualClock();
  const { said, dismissed } = connected(clock, { a: "polite", b: "polite" });

  await dismissed;

  expect(said).toEqual(["goodbye a", "goodbye b"]);
  expect(clock.pending).toBe(0);
});

test("with 0 connections there is nobody to wait for", async () => {
  const clock = new ManualClock();

  await connected(clock, {}).dismissed;

  expect(clock.pending).toBe(0);
});
