/** The door of media over WebSocket: Twilio Media Streams and its dialects, Genesys AudioHook, Jitsi's audio export. */
export { MEDIA_DIALECTS, type MediaDialectName } from "./media-session.ts";
export {
  MEDIA_PATHS,
  type MediaSocketOptions,
  MediaSocketServer,
  type MediaSocketStats,
  type MediaVoiceInfo,
} from "./media-socket-server.ts";
