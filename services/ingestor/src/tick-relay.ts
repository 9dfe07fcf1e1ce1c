import type { Bus } from '@candlewire/bus';
import { type Channels, encodeTicks, partitionOf, type Tick } from '@candlewire/contracts';
import { boundedLog, type Logger, retry } from '@candlewire/runtime';
import type { Source } from './sources/source';
import type { Time } from './time';

/** At most 4 ticks a second and symbol. */
const RELAY_MS = 250;

export interface TickRelayOptions {
  readonly ticks: NonNullable<Source['ticks']>;
  readonly bus: Pick<Bus, 'publish'>;
  readonly channels: Channels;
  readonly time: Time;
  readonly logger: Logger;
  /** Hears how many were published. */
  readonly onTold?: (ticks: number) => void;
}

/**
 * Publishes a source's ticks until the signal is aborted: of each symbol the newest, four times a second. Best effort:
 * what cannot be published is dropped, the next tick is never far.
 */
export async function relayTicks(options: TickRelayOptions, signal: AbortSignal): Promise<void> {
  const { ticks, bus, channels, time, logger, onTold } = options;
  const logDropped = boundedLog(logger, 'ticks dropped', { first: 1 });
  const logFailure = boundedLog(logger, 'ticks have ended, to be asked for again', { first: 1 });
  const newest = new Map<string, Tick>();
  let arrived: () => void = () => {};

  async function collect(): Promise<void> {
    for await (const tick of ticks(signal)) {
      const known = newest.get(tick.symbol);
      if (known === undefined || known.time <= tick.time) newest.set(tick.symbol, tick);
      arrived();
    }
    if (!signal.aborted) throw new Error('the source has no more ticks');
  }

  async function tell(): Promise<void> {
    const count = newest.size;
    const byPartition = new Map<number, Tick[]>();
    for (const tick of newest.values()) {
      const partition = partitionOf(tick.symbol);
      const others = byPartition.get(partition);
      if (others === undefined) byPartition.set(partition, [tick]);
      else others.push(tick);
    }
    newest.clear();
    const messages = [...byPartition].map(([p, some]) => ({ channel: channels.ticks(p), text: encodeTicks(some) }));
    try {
      await bus.publish(messages);
      onTold?.(count);
    } catch (err) {
      logDropped({ err });
    }
  }

  async function tellAll(): Promise<void> {
    const stop = () => arrived();
    signal.addEventListener('abort', stop);
    while (!signal.aborted) {
      if (newest.size === 0) {
        await new Promise<void>((resolve) => {
          arrived = resolve;
        });
        continue;
      }
      await tell();
      await time.pause(RELAY_MS, signal);
    }
    signal.removeEventListener('abort', stop);
  }

  const collecting = retry(collect, { signal, onFailure: (err) => logFailure({ err }) }).catch((err) => {
    if (!signal.aborted) throw err;
  });
  await Promise.all([collecting, tellAll()]);
}
