/**
 * Unwraps RTP's 16-bit sequence numbers and 32-bit timestamps. Pure arithmetic; who remembers the reference is the caller.
 * Results are exact integers to 2⁵³ and may be negative: a packet can come from before the first one seen.
 */

/** The number congruent to `sequence` (mod 2¹⁶) that is nearest to `reference`; of two equally near, the lower. */
export const extendSequence = (sequence: number, reference: number): number =>
  // Bit operators take their operand modulo 2³², so this holds for references far beyond 32 bits.
  reference + (((sequence - reference) << 16) >> 16);

/** The number congruent to `timestamp` (mod 2³²) that is nearest to `reference`; of two equally near, the lower. */
export const extendTimestamp = (timestamp: number, reference: number): number =>
  reference + ((timestamp - reference) | 0);
