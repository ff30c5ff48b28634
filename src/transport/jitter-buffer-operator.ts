/** The jitter buffer as an RxJS operator: first link of a participant's chain. */
import { Observable, type OperatorFunction } from "rxjs";
import { TonetapError } from "../core/errors.ts";
import type { MediaUnit } from "../core/media.ts";
import type { RtpPacket } from "../core/rtp.ts";
import { JitterBuffer, type JitterBufferOptions } from "./jitter-buffer.ts";

/**
 * Packets in any order → media units in playout order, each stretch of media time once.
 * When the source completes or fails, what is buffered is emitted first. Each subscription has a buffer of its own;
 * `options.stats` is shared by all of them.
 */
export const jitterBuffer =
  (options: JitterBufferOptions): OperatorFunction<RtpPacket, MediaUnit> =>
  (packets) =>
    new Observable((subscriber) => {
      const buffer = new JitterBuffer(options, (unit) => subscriber.next(unit));
      subscriber.add(() => buffer.close());
      subscriber.add(
        packets.subscribe({
          next: (packet) => {
            // What a packet or requestRetransmission() of a source throws is this stream's error; RxJS would end the process.
            try {
              buffer.push(packet);
            } catch (error) {
              subscriber.error(TonetapError.from(error));
            }
          },
          error: (error: unknown) => {
            buffer.flush();
            subscriber.error(error);
          },
          complete: () => {
            buffer.flush();
            subscriber.complete();
          },
        }),
      );
    });
