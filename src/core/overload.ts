/** What is given up when there is more work than machine. Deciding it is ../overload.ts. */

/** In the order in which they are taken; each keeps what those before it gave up. */
export const OVERLOAD_STEPS = ["none", "longer-hop", "skip-low", "refuse"] as const;
export type OverloadStep = (typeof OVERLOAD_STEPS)[number];
