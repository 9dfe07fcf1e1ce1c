import { createLogger as createWinston, format, transports } from 'winston';

export type Fields = Readonly<Record<string, unknown>>;

/** Events, not prose: a fixed message and fields. */
export interface Logger {
  error(event: string, fields?: Fields): void;
  warn(event: string, fields?: Fields): void;
  info(event: string, fields?: Fields): void;
  debug(event: string, fields?: Fields): void;
  /** A logger whose lines carry these fields as well. */
  child(fields: Fields): Logger;
}

/**
 * Logs to stderr, which keeps stdout for what a command prints: readable lines on a terminal, JSON lines elsewhere.
 * An `err` field is reduced to its message and code (stack at level debug).
 */
export function createLogger(
  service: string,
  level: string,
  readable: boolean = process.stderr.isTTY === true,
): Logger {
  const flatten = format((info) => {
    if (info.err instanceof Error) {
      const { message, stack } = info.err;
      const code = (info.err as NodeJS.ErrnoException).code;
      info.err = level === 'debug' ? stack : code === undefined ? message || info.err.name : `${code}: ${message}`;
    }
    return info;
  });
  const line = format.printf(({ timestamp, level: lvl, message, service: name, ...fields }) => {
    const rest = Object.entries(fields)
      .map(([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
      .join('');
    return `${String(timestamp).slice(11, 23)} ${lvl.padEnd(5)} ${String(name).padEnd(10)} ${String(message)}${rest}`;
  });
  return createWinston({
    level,
    defaultMeta: { service },
    format: readable
      ? format.combine(flatten(), format.timestamp(), line)
      : format.combine(flatten(), format.timestamp(), format.json()),
    transports: [new transports.Console({ stderrLevels: ['error', 'warn', 'info', 'debug'] })],
  });
}

/** Says nothing; for tests. */
export const silentLogger: Logger = {
  error: () => {},
  warn: () => {},
  info: () => {},
  debug: () => {},
  child: () => silentLogger,
};

/**
 * Logs the first few of a kind of event and then once in a while how many more there were: bad input must not fill a disk.
 */
export function boundedLog(
  logger: Logger,
  event: string,
  options: { first?: number; everyMs?: number } = {},
): (fields: Fields) => void {
  const { first = 5, everyMs = 10_000 } = options;
  let seen = 0;
  let unsaid = 0;
  let saidAt = 0;
  return (fields) => {
    seen++;
    const now = Date.now();
    if (seen <= first || now - saidAt >= everyMs) {
      logger.warn(event, unsaid > 0 ? { ...fields, unsaid } : fields);
      unsaid = 0;
      saidAt = now;
    } else unsaid++;
  };
}
