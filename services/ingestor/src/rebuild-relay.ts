import type { RebuildOrder } from '@candlewire/contracts';
import { boundedLog, type Logger } from '@candlewire/runtime';
import type { Store } from '@candlewire/store';
import type { Time } from './time';

/** Somebody who asks for a rebuild waits for it, but for nothing that is worth a connection to be told by. */
const POLL_MS = 1_000;

export interface RebuildRelayOptions {
  readonly store: Pick<Store, 'relayRebuilds'>;
  /** Appends an order to a partition's journal. What it throws ends the relay. */
  readonly append: (partition: number, order: RebuildOrder, signal: AbortSignal) => Promise<unknown>;
  readonly time: Time;
  readonly logger: Logger;
}

/**
 * Puts rebuilds that were asked for into the journals, until the signal is aborted: they have their place among the bars,
 * and only who appends to journals can give them one. An order that was lost with a journal comes again, because the store
 * names it until its owner has taken it; one that comes twice changes nothing.
 */
export async function relayRebuilds(options: RebuildRelayOptions, signal: AbortSignal): Promise<void> {
  const { store, append, time, logger } = options;
  const logFailure = boundedLog(logger, 'rebuilds not looked up', { first: 1 });
  while (!signal.aborted) {
    const due = await store.relayRebuilds().catch((err) => {
      logFailure({ err });
      return [];
    });
    for (const { partition, order } of due) {
      if (signal.aborted) return;
      await append(partition, order, signal);
      logger.info('rebuild ordered', { rebuild: order.id, partition, symbols: order.symbols });
    }
    await time.pause(POLL_MS, signal);
  }
}
