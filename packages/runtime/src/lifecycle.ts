import { ConfigError } from './config';
import type { Logger } from './logger';

/** One step of going down, e.g. unready, stop intake, drain, flush, close. */
export interface Phase {
  readonly name: string;
  readonly run: () => Promise<void> | void;
  /** After so long the next phase begins all the same. */
  readonly deadlineMs?: number;
}

const PHASE_DEADLINE_MS = 10_000;
/** npm passes on the Ctrl-C that the terminal has sent already: what follows so soon is the same wish, no second one. */
const SAME_SIGNAL_MS = 1_000;

/** Runs every phase in order, whatever the others do. Resolves with true where all went well. */
export async function runPhases(phases: readonly Phase[], logger: Logger): Promise<boolean> {
  let clean = true;
  for (const { name, run, deadlineMs = PHASE_DEADLINE_MS } of phases) {
    let timer: NodeJS.Timeout | undefined;
    try {
      await Promise.race([
        Promise.resolve().then(run),
        new Promise((_, reject) => {
          timer = setTimeout(() => reject(new Error(`not done within ${deadlineMs} ms`)), deadlineMs);
        }),
      ]);
    } catch (err) {
      clean = false;
      logger.error('shutdown phase failed', { phase: name, err });
    } finally {
      clearTimeout(timer);
    }
  }
  return clean;
}

/** A part of the system that was started. */
export interface Running {
  /** What to do when it is told to stop, in this order. */
  readonly shutdown: readonly Phase[];
  /** Settles only where the part ends by itself: rejected, the process ends with exit code 1. */
  readonly done?: Promise<void>;
}

/**
 * The frame of a `main.ts`: starts, waits for SIGINT or SIGTERM, goes down phase by phase; a second signal ends the
 * process at once. Wrong configuration is told as one report, exit code 1. A rejection that nobody handles is a bug:
 * logged, exit code 1.
 */
export async function runMain(logger: () => Logger, start: () => Promise<Running>): Promise<void> {
  // What came up before a signal that arrives during start must still come down: the signal waits for the start.
  let stop: (reason: string) => void = () => {};
  const stopped = new Promise<string>((resolve) => {
    stop = resolve;
  });
  let signalledAt: number | null = null;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      signalledAt ??= Date.now();
      if (Date.now() - signalledAt > SAME_SIGNAL_MS) process.exit(130);
      stop(signal);
    });
  }
  process.on('unhandledRejection', (err) => {
    logger().error('unhandled rejection', { err });
    process.exit(1);
  });
  try {
    const running = await start();
    let failed = false;
    const failure = (running.done ?? new Promise<never>(() => {})).then(
      () => 'done',
      (err) => {
        failed = true;
        logger().error('stopped by an error', { err });
        return 'error';
      },
    );
    const reason = await Promise.race([stopped, failure]);
    logger().info('shutting down', { reason });
    const clean = await runPhases(running.shutdown, logger());
    process.exit(clean && !failed ? 0 : 1);
  } catch (err) {
    if (err instanceof ConfigError) process.stderr.write(`${err.message}\n`);
    else logger().error('could not start', { err });
    process.exit(1);
  }
}
