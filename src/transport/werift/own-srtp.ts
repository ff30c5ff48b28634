/**
 * Puts our SRTP in the place of werift's, which takes four times as long, once the DTLS handshake has given the keys. ICE,
 * DTLS and whatever is sent stay werift's. If werift is not built as this expects, its own SRTP goes on, and a warning says so.
 */
import type { RTCDtlsTransport } from "werift";
import { TonetapError } from "../../core/errors.ts";
import { SrtpReceiver, suiteOfDtlsProfile } from "../srtp/index.ts";

const NOTHING = Buffer.alloc(0);

/** Gets media as it comes off the wire, still protected. */
export type MediaReader = (datagram: Buffer) => void;

export interface TakenMedia {
  readonly receiver: SrtpReceiver;
  /** From here on werift reads media again. */
  readonly giveBack: () => void;
}

/** SRTP of a transport, for as long as it lives: who joins later must know what was replayed. */
const receivers = new WeakMap<RTCDtlsTransport, SrtpReceiver>();
let warned = false;

/**
 * For a transport of our own: `read` gets every media datagram, and werift none. Call it when the transport is connected.
 * @returns undefined when werift reads them as before
 */
export function takeMedia(transport: RTCDtlsTransport, read: MediaReader): TakenMedia | undefined {
  return attempt(() => {
    const receiver = receiverOf(transport);
    const { onData } = transport.iceTransport.connection;
    const original = onData.execute;
    onData.execute = (datagram) => {
      if (!isMedia(datagram)) {
        original(datagram);
        return;
      }
      transport.packetsReceived++;
      transport.bytesReceived += datagram.length;
      read(datagram);
    };
    const giveBack = (): void => {
      onData.execute = original;
    };
    return { receiver, giveBack };
  });
}

/**
 * For a transport that a program uses too: werift reads media as before, and decrypts them by our SRTP. It stays so when
 * we leave, because werift's own would not know of sequence numbers that wrapped meanwhile.
 * @returns what unprotects; undefined when werift does
 */
export function lendSrtp(transport: RTCDtlsTransport): SrtpReceiver | undefined {
  return attempt(() => {
    const known = receivers.get(transport);
    if (known !== undefined) return known;
    const receiver = receiverOf(transport);
    // What does not pass is no packet to werift: it counts it as malformed and drops it.
    transport.srtp.decrypt = (datagram) => plainPart(datagram, receiver.unprotectRtp(datagram));
    transport.srtcp.decrypt = (datagram) => plainPart(datagram, receiver.unprotectRtcp(datagram));
    return receiver;
  });
}

const plainPart = (datagram: Buffer, result: Uint8Array | string): Buffer =>
  typeof result === "string" ? NOTHING : datagram.subarray(0, result.length);

/** RFC 7983 §7: first bytes of RTP and RTCP. */
function isMedia(datagram: Uint8Array): boolean {
  const first = datagram[0] ?? 0;
  return first >= 128 && first <= 191;
}

/** @throws TonetapError unavailable when werift's session is not as its types say. */
function receiverOf(transport: RTCDtlsTransport): SrtpReceiver {
  const { profile, keys } = transport.srtp.config;
  const suite = suiteOfDtlsProfile(profile);
  if (suite === undefined) throw new TonetapError("unavailable", `SRTP profile ${profile} is unknown`);
  const receiver = new SrtpReceiver({ suite, key: keys.remoteMasterKey, salt: keys.remoteMasterSalt });
  // RFC 3711 §3.3.1: streams that are on their way may have wrapped already.
  const streams = Object.values(transport.srtp.remoteContext.srtpSSRCStates);
  for (const { ssrc, rolloverCounter, lastSequenceNumber } of streams) {
    receiver.resume(ssrc, rolloverCounter * 0x1_0000 + lastSequenceNumber);
  }
  receivers.set(transport, receiver);
  return receiver;
}

function attempt<T>(takeOver: () => T): T | undefined {
  try {
    return takeOver();
  } catch (error) {
    if (!warned) {
      warned = true;
      process.emitWarning(
        `werift is not as expected (${TonetapError.from(error).message}): its own SRTP is used, which is slower`,
        { code: "TONETAP_WERIFT_SRTP" },
      );
    }
    return undefined;
  }
}
