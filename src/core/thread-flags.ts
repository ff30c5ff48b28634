/**
 * What a worker thread must be told of flags, for `new Worker(script, threadFlags())`. It takes over those of the process, and
 * `node --input-type=module --eval …` is one with which no script in a file starts (ERR_INPUT_TYPE_NOT_ALLOWED). Then it is given
none: named one by one, those that are the process's own are refused (ERR_WORKER_INVALID_EXEC_ARGV).
 */
export const threadFlags = (): { execArgv?: string[] } =>
  process.execArgv.some((flag) => flag.startsWith("--input-type")) ? { execArgv: [] } : {};
