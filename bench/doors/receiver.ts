/** The process that is measured: opens one door, counts what comes and the CPU time it takes. Started by doors-bench.ts. */
import { TonetapError } from "../../src/core/errors.ts";
import { isSrtpSuite } from "../../src/transport/srtp/index.ts";
import type { DoorOptions, OpenDoor } from "./door.ts";
import { openRtpDoor, openWhipDoor } from "./own-doors.ts";
import { openDatachannelDoor, openMediasoupDoor } from "./peer-doors.ts";
import { DOORS, type DoorKey, type DoorName, type FromReceiver, type ToReceiver } from "./protocol.ts";

function open(name: DoorName, options: DoorOptions): Promise<OpenDoor> {
  switch (name) {
    case "rtp":
    case "srtp-cm":
    case "srtp-gcm":
      return openRtpDoor(options);
    case "whip":
      return openWhipDoor(options, true);
    case "whip-werift":
      return openWhipDoor(options, false);
    case "node-datachannel":
      return openDatachannelDoor(options);
    case "mediasoup":
      return openMediasoupDoor(options);
  }
}

const say = (message: FromReceiver): void => {
  process.send?.(message);
};

async function main(name: string, streams: number, key: DoorKey | undefined): Promise<void> {
  const door = DOORS.find((candidate) => candidate === name);
  if (door === undefined) throw new TonetapError("invalid-argument", `there is no door ${name}`);
  let packets = 0;
  const opened = await open(door, { streams, key, onPacket: () => void packets++ });
  const reading = async () => {
    const { user, system } = process.cpuUsage();
    return { packets, cpuMicros: user + system + ((await opened.otherCpuMicros?.()) ?? 0) };
  };
  let before = await reading();
  const handle = async (message: ToReceiver): Promise<FromReceiver> => {
    switch (message.kind) {
      case "offer":
        return {
          kind: "answer",
          stream: message.stream,
          sdp: (await opened.answer?.(message.sdp)) ?? "",
        };
      case "start":
        before = await reading();
        return { kind: "started" };
      case "stop": {
        const after = await reading();
        return {
          kind: "measured",
          packets: after.packets - before.packets,
          cpuMicros: after.cpuMicros - before.cpuMicros,
        };
      }
    }
  };
  process.on("message", (message: ToReceiver) => {
    handle(message).then(say, (error: unknown) =>
      say({ kind: "unavailable", reason: TonetapError.from(error).message }),
    );
  });
  say({ kind: "ready", ports: opened.ports, note: opened.note });
}

const [name = "", streams = "1", suite, inline] = process.argv.slice(2);
// Without a channel nobody listens; with it, the bench's end is ours. Not by exit(): see doors-bench.ts.
process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));
const key = suite !== undefined && isSrtpSuite(suite) ? { suite, inline: inline ?? "" } : undefined;
main(name, Number(streams), key).catch((error: unknown) =>
  say({ kind: "unavailable", reason: TonetapError.from(error).message }),
);
