/**
 * What a worker thread must be told of flags, for `new Worker(script, threadFlags())`. It takes over those of the process, and
 * `node --input-type=module --eval …` is one with which no script in a file starts (ERR_INPUT_TYPE_NOT_ALLOWED).
 */
export const threadFlags = (): { execArgv?: string[] } =>
  process.execArgv.some((flag) => flag.startsWith("--input-type")) ? { execArgv: [] } : {};
