/** Where a source of a shard lives, on shards that break down when the test says so. */
import { expect, test } from "vitest";
import { TonetapError } from "../../src/core/errors.ts";
import type { ShardLink } from "../../src/shards/shard-link.ts";
import type { ShardAsk } from "../../src/shards/shard-protocol.ts";
import { MAX_MOVES, SourceHome } from "../../src/shards/source-home.ts";

const DOWN = new TonetapError("unavailable", "a shard ended with code 1");

/** What a home asks of a shard's link; opening waits where it is told so. */
class FakeLink {
  alive = true;
  readonly opened: unknown[] = [];
  readonly asked: ShardAsk["kind"][] = [];
  readonly tenants = new Map<number, SourceHome<"rtp">>();
  opening: PromiseWithResolvers<void> | undefined;

  asLink = (): ShardLink => this as unknown as ShardLink;

  async open(_number: number, _kind: string, options: { readonly port?: number }) {
    this.opened.push(options.port ?? 0);
    await this.opening?.promise;
    if (!this.alive) throw DOWN;
    return { address: { host: "127.0.0.1", port: 40_000 }, codecs: new Map() };
  }

  async ask({ kind }: ShardAsk): Promise<undefined> {
    if (!this.alive) throw DOWN;
    this.asked.push(kind);
  }

  registerSource(number: number, home: SourceHome<"rtp">): void {
    this.tenants.set(number, home);
  }

  unregisterSource(number: number): void {
    this.tenants.delete(number);
  }

  gone = (): Promise<void> => Promise.resolve();

  breakDown(): void {
    this.alive = false;
    this.opening?.resolve();
    const tenants = [...this.tenants.values()];
    this.tenants.clear();
    for (const home of tenants) home.lost(DOWN);
  }
}

/** A port that lives in the links in their order. */
async function openIn(links: readonly FakeLink[], canMove = true) {
  const rest = [...links];
  const ends: (TonetapError | undefined)[] = [];
  const { home } = await SourceHome.open({
    number: 7,
    kind: "rtp",
    options: (before) => (before === undefined ? {} : canMove ? before.address : undefined),
    findShard: async () => {
      const link = rest.shift();
      if (link === undefined) throw new TonetapError("closed", "the shards are closed");
      return link.asLink();
    },
    onEnd: (error) => ends.push(error),
  });
  return { home, ends };
}

const links = (count: number): FakeLink[] => Array.from({ length: count }, () => new FakeLink());

test("a source goes to 2 further shards, the second of which breaks down while it is being opened there, with the port it had", async () => {
  const [one, two, three] = links(3) as [FakeLink, FakeLink, FakeLink];
  const { home, ends } = await openIn([one, two, three]);
  two.opening = Promise.withResolvers();

  one.breakDown();
  await expect.poll(() => two.opened).toEqual([40_000]);
  const settled = home.settled();
  two.breakDown();

  expect(await settled).toBe(three);
  expect([one.opened, two.opened, three.opened]).toEqual([[0], [40_000], [40_000]]);
  expect([two.tenants.size, three.tenants.size]).toEqual([0, 1]);
  expect([home.over, ends]).toEqual([false, []]);
});

test("a shard that breaks down while a source is first opened has it opened in another: 1 opening each", async () => {
  const [one, two] = links(2) as [FakeLink, FakeLink];
  one.opening = Promise.withResolvers();
  const opening = openIn([one, two]);
  await expect.poll(() => one.opened).toEqual([0]);

  one.breakDown();

  const { home } = await opening;
  expect(await home.settled()).toBe(two);
  expect(two.opened).toEqual([0]);
});

test(`the shard after ${MAX_MOVES} moves is its last: it ends with the error, once`, async () => {
  const all = links(MAX_MOVES + 2);
  const { home, ends } = await openIn(all);
  for (const link of all.slice(0, MAX_MOVES + 1)) {
    await expect.poll(() => link.tenants.size).toBe(1);
    link.breakDown();
  }

  await expect(home.settled()).rejects.toBe(DOWN);
  expect([home.over, ends]).toEqual([true, [DOWN]]);
  expect(all.at(-1)?.opened).toEqual([]);
  home.end(undefined);
  await home.close();
  expect(ends).toHaveLength(1);
});

test("what cannot be opened again ends with its shard, and 1 close after that asks nobody", async () => {
  const [one, two] = links(2) as [FakeLink, FakeLink];
  const { home, ends } = await openIn([one, two], false);

  one.breakDown();
  await home.close();

  expect([home.over, ends, two.opened, one.asked]).toEqual([true, [DOWN], [], []]);
});

test("closed on its way to another shard it is closed there, 2 times asked or not, and nobody is told of an end", async () => {
  const [one, two] = links(2) as [FakeLink, FakeLink];
  const { home, ends } = await openIn([one, two]);
  two.opening = Promise.withResolvers();
  one.breakDown();
  await expect.poll(() => two.opened).toEqual([40_000]);

  const closing = [home.close(), home.close()];
  expect(home.over).toBe(true);
  two.opening.resolve();
  await Promise.all(closing);

  expect(two.asked).toEqual(["close-source"]);
  expect([two.tenants.size, ends]).toEqual([0, []]);
});

test("with 0 shards left it ends with the reason for that, and closing it is no error", async () => {
  const [one] = links(1) as [FakeLink];
  const { home, ends } = await openIn([one]);

  one.breakDown();

  await expect(home.settled()).rejects.toMatchObject({ code: "closed" });
  await expect.poll(() => ends).toMatchObject([{ code: "closed" }]);
  await expect(home.close()).resolves.toBeUndefined();
});
