/** The door of Asterisk's AudioSocket. */
export {
  type AudioSocketCallInfo,
  AudioSocketServer,
  type AudioSocketServerOptions,
  type AudioSocketStats,
  createAudioSocketServer,
} from "./audiosocket-server.ts";
