/** A connection is an Observable to RxJS and an async iterable to everybody: src/client/connection.ts. */
import { from, map, type Observable, take, toArray } from "rxjs";
import { expect, expectTypeOf, test } from "vitest";
import { connect, type EventConnection } from "../../src/client/index.ts";
import { kindOf, type TonetapEvent } from "../../src/events/schema.ts";
import { ADA, emotion, joinedOf, startService, until } from "../events/support.ts";

const isOpen = (connection: EventConnection) => (): boolean => connection.status.state === "open";

test("from(connection) gives 3 events to each of 2 subscribers, takes its handlers off, and completes with the connection", async () => {
  await using service = await startService();
  const { hub, factory } = service;
  const connection = connect(service.url);
  const events$ = from(connection);
  expectTypeOf(events$).toEqualTypeOf<Observable<TonetapEvent>>();
  const seen: string[] = [];
  let completed = 0;
  const first = events$.pipe(take(1)).subscribe({ next: (event) => seen.push(`first ${kindOf(event)}`) });
  events$.subscribe({ next: (event) => seen.push(kindOf(event)), complete: () => completed++ });
  await until(isOpen(connection));
  hub.publish(factory.create("call.started", { callId: ADA.callId }));
  hub.publish(factory.create("participant.joined", joinedOf(ADA)));
  hub.publish(emotion(factory, ADA, 0));
  await until(() => seen.length === 4);
  expect(seen).toEqual(["first call.started", "call.started", "participant.joined", "emotion"]);
  expect(first.closed).toBe(true);
  expect(connection.status.state).toBe("open");

  connection.close();
  expect(completed).toBe(1);
  // Who comes late is told at once.
  events$.subscribe({ complete: () => completed++ });
  expect(completed).toBe(2);
});

test("the same connection loops with for await and pipes through operators at once: 3 events each", async () => {
  await using service = await startService();
  const { hub, factory } = service;
  const connection = connect(service.url, { filter: { kinds: ["emotion"] } });
  const looped = (async () => {
    const indices: number[] = [];
    for await (const event of connection)
      if (event.type === "tonetap.emotion") indices.push(event.data.index);
    return indices;
  })();
  const piped = new Promise<string[]>((resolve) => {
    from(connection).pipe(map(kindOf), toArray()).subscribe(resolve);
  });
  await until(isOpen(connection));
  let heard = 0;
  connection.on("event", () => heard++);
  for (let i = 0; i < 3; i++) hub.publish(emotion(factory, ADA, i));
  await until(() => heard === 3);
  connection.close();

  expect(await looped).toEqual([0, 1, 2]);
  expect(await piped).toEqual(["emotion", "emotion", "emotion"]);
});

test("who knows Symbol.observable, polyfilled before the client was loaded, finds the 1 Observable there", async () => {
  const symbol = Symbol("observable");
  Object.defineProperty(Symbol, "observable", { value: symbol, configurable: true });
  try {
    const path = "../../src/client/connection.ts?polyfilled";
    const { connect: connectAnew } = (await import(path)) as typeof import("../../src/client/index.ts");
    const connection = connectAnew("http://127.0.0.1:9");
    const found = (connection as unknown as Record<symbol, () => { subscribe(observer: object): object }>)[
      symbol
    ];
    let completed = 0;
    found?.call(connection).subscribe({ complete: () => completed++ });
    connection.close();
    expect(completed).toBe(1);
  } finally {
    Reflect.deleteProperty(Symbol, "observable");
  }
});
