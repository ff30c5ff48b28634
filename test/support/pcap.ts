/** Writes UDP datagrams as a pcap, as a capture on Ethernet would hold them: what sipp plays. */

/** https://wiki.wireshark.org/Development/LibpcapFileFormat: microseconds, version 2.4, Ethernet. */
const MAGIC = 0xa1b2c3d4;
const ETHERNET = 1;
const ETHERNET_BYTES = 14;
const IPV4_BYTES = 20;
const UDP_BYTES = 8;
const IPV4_TYPE = 0x0800;
const UDP_PROTOCOL = 17;

export interface CapturedDatagram {
  /** Since the capture began. */
  readonly atMs: number;
  readonly bytes: Uint8Array;
}

export function writePcap(datagrams: readonly CapturedDatagram[]): Buffer {
  const file = Buffer.alloc(24);
  file.writeUInt32LE(MAGIC, 0);
  file.writeUInt16LE(2, 4);
  file.writeUInt16LE(4, 6);
  file.writeUInt32LE(65_535, 16);
  file.writeUInt32LE(ETHERNET, 20);
  return Buffer.concat([file, ...datagrams.flatMap(record)]);
}

function record({ atMs, bytes }: CapturedDatagram): [Buffer, Buffer] {
  const packet = frame(bytes);
  const head = Buffer.alloc(16);
  head.writeUInt32LE(Math.floor(atMs / 1000), 0);
  head.writeUInt32LE(Math.round((atMs % 1000) * 1000), 4);
  head.writeUInt32LE(packet.length, 8);
  head.writeUInt32LE(packet.length, 12);
  return [head, packet];
}

/** From 127.0.0.1:40000 to 127.0.0.1:40002. Checksums are left at zero: who plays it writes its own. */
function frame(payload: Uint8Array): Buffer {
  const head = Buffer.alloc(ETHERNET_BYTES + IPV4_BYTES + UDP_BYTES);
  head.writeUInt16BE(IPV4_TYPE, 12);
  const ip = ETHERNET_BYTES;
  head[ip] = 0x45;
  head.writeUInt16BE(IPV4_BYTES + UDP_BYTES + payload.length, ip + 2);
  head[ip + 8] = 64;
  head[ip + 9] = UDP_PROTOCOL;
  head.set([127, 0, 0, 1, 127, 0, 0, 1], ip + 12);
  const udp = ip + IPV4_BYTES;
  head.writeUInt16BE(40_000, udp);
  head.writeUInt16BE(40_002, udp + 2);
  head.writeUInt16BE(UDP_BYTES + payload.length, udp + 4);
  return Buffer.concat([head, payload]);
}
