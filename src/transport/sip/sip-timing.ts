/** The timers of RFC 3261 (§17, table 4). */

/** Estimate of a round trip, ms. */
export const T1_MS = 500;
/** Longest pause between retransmissions, ms. */
export const T2_MS = 4_000;
/** How long a message may stay in the network, ms. */
export const T4_MS = 5_000;
/** Timers B, F, H, J, L and the wait for an ACK, ms: then a transaction is given up. */
export const GIVE_UP_MS = 64 * T1_MS;
