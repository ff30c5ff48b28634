import { expect, test } from "vitest";
import { CloseStack } from "../../src/core/lifecycle.ts";

test("3 things close newest first, and only once however often close is called", async () => {
  const closed: string[] = [];
  const stack = new CloseStack();
  for (const name of ["socket", "worker", "server"]) stack.defer(name, () => void closed.push(name));

  await Promise.all([stack.close(), stack.close()]);
  await stack.close();

  expect(closed).toEqual(["server", "worker", "socket"]);
});

test("1 failing close does not keep the other 2 open, and is named", async () => {
  const closed: string[] = [];
  const stack = new CloseStack();
  stack.defer("first", () => void closed.push("first"));
  stack.defer("broken", () => Promise.reject(new RangeError("no")));
  stack.defer("last", () => void closed.push("last"));

  await expect(stack.close()).rejects.toThrow("closing failed: broken");

  expect(closed).toEqual(["last", "first"]);
});

test("0 things can be opened in a closed stack", async () => {
  const stack = new CloseStack();
  await stack.close();

  expect(() => stack.defer("late", () => undefined)).toThrow("cannot open late: its owner is closed");
});
