/** Options of what is given up when there is more work than machine. What each does is overload.ts. */
import { z } from "zod";
import { number, section, whole } from "./config-fields.ts";

export const overloadSection = section("When there is too much to do", {
  control: z
    .enum(["on", "off"])
    .default("off")
    .describe(
      "on: beyond raiseAbove, step by step, windows come at a longer hop, participants of low priority are left out, new ones are refused. `tonetap serve`: on.",
    ),
  raiseAbove: number(
    0.3,
    1,
    0.85,
    "Share of its time that the busiest thread works above which the next step is taken.",
  ),
  lowerBelow: number(0.1, 1, 0.6, "Share below which, after 10 s, the last step is taken back."),
  hopFactor: whole(2, 10, 2, "From the first step on, one window in so many is judged."),
}).refine(({ lowerBelow, raiseAbove }) => lowerBelow <= raiseAbove, {
  path: ["lowerBelow"],
  message: "must be at most overload.raiseAbove",
});
