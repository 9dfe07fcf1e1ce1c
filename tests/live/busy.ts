import { waitFor } from '@candlewire/testkit';
import { type Delivery, type DeliveryLog, LOG_SYMBOLS, randomDeliveries, writeLog } from '../pipeline/delivery-log';
import { SEED } from '../pipeline/disturbed';
import { PATIENCE_MS, type Pipeline } from '../pipeline/harness';

/** The log of {@link randomDeliveries}, of its first symbols and days. */
export function logOf(symbols: number, days: number): DeliveryLog {
  const wanted = new Set<string>(LOG_SYMBOLS.slice(0, symbols));
  const deliveries: readonly Delivery[] = randomDeliveries(SEED);
  const end = deliveries[0]!.bar.openTime + (days - 0.5) * 86_400_000;
  return writeLog(deliveries.filter(({ arrival, bar }) => wanted.has(bar.symbol) && arrival < end));
}

/**
 * Does `act` at moments of the replay, each some commits after the last one was done, until the replay is over. The first is
 * counted from the first commit of all: the replay has begun, and does not wait for whoever counts.
 * @param commits how many, each time
 * @returns how often
 */
export async function disturbed(
  pipeline: Pipeline,
  log: DeliveryLog,
  commits: () => number,
  act: () => void | Promise<void>,
): Promise<number> {
  for (let count = 0, from = 1; ; count++) {
    const until = from + commits();
    const more = async () => (await countOf(pipeline)) >= until;
    await waitFor(async () => (await more()) || (await pipeline.isPlayed(log.deliveries)), { timeoutMs: PATIENCE_MS });
    if (!(await more())) return count;
    await act();
    from = await countOf(pipeline);
  }
}

/** One more than there are: an answer is waited for, and none is one. */
async function countOf(pipeline: Pipeline): Promise<number> {
  return waitFor(async () => 1 + (await pipeline.commits()), { timeoutMs: PATIENCE_MS, what: 'commits are counted' });
}
