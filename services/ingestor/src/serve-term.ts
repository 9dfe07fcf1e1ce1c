import { type Bus, NotLeader } from '@candlewire/bus';
import type { Channels } from '@candlewire/contracts';
import type { Logger } from '@candlewire/runtime';
import type { Store } from '@candlewire/store';
import type { Counters } from './counters';
import type { Term } from './election';
import type { FeedReporter } from './feed-reporter';
import type { Fills } from './fill/fills';
import type { JournalWriter } from './journal-writer';
import { relayRebuilds } from './rebuild-relay';
import type { Delivery, Source } from './sources/source';
import type { SymbolSet } from './symbols';
import { relayTicks } from './tick-relay';
import type { Time } from './time';
import { withTicks } from './with-ticks';

const TICK_MS = 500;

export interface TermDeps {
  readonly source: Source;
  readonly bus: Pick<Bus, 'publish'>;
  readonly channels: Channels;
  readonly writer: JournalWriter;
  readonly time: Time;
  readonly logger: Logger;
  readonly symbols: SymbolSet | undefined;
  readonly counters: () => Counters;
  /** Hears how many ticks were told. */
  readonly onTicks: (count: number) => void;
  /** Of this term. */
  readonly feed: FeedReporter;
  /** Of this term; null where nothing is filled. */
  readonly fills: Fills | null;
  /** Where rebuilds are asked for. */
  readonly rebuilds: Pick<Store, 'relayRebuilds'> | undefined;
}

/**
 * What a leader does, until its term is over: plays the source into the journals, says how it does, has history filled,
 * follows the symbols, relays ticks. Then the source is closed, the last append has ended and nothing is said any more;
 * only what is worked on of history may still have to be handed back, after the lead.
 * @throws what no retry can help
 */
export async function serveTerm(deps: TermDeps, term: Term): Promise<void> {
  const { source, bus, channels, writer, time, logger, symbols, counters, onTicks, feed, fills, rebuilds } = deps;

  /** Plays the source from its start until the signal is aborted, or a journal is no longer the one it was played to. */
  async function play(signal: AbortSignal): Promise<void> {
    feed.enter('connecting');
    feed.clock = null;
    fills?.interrupted();
    await writer.open(term.token, signal);
    const before = counters();
    const startedAt = time.elapsedMs();
    logger.info('source starts', { source: source.kind });
    for await (const event of withTicks((inner) => liveOf(source, inner), TICK_MS, time, signal)) {
      const same = event === 'tick' ? await writer.tick(signal) : await take(event, signal);
      if (!same) {
        // At once: closing the source takes a while, and nothing that went to the lost journal may be vouched for.
        fills?.interrupted();
        logger.warn('the journal is another one: starting again');
        return;
      }
      if (event !== 'tick' && event.state === 'finished') {
        logger.info('replay finished', summaryOf(before, counters(), time.elapsedMs() - startedAt));
      }
    }
  }

  async function take(delivery: Delivery, signal: AbortSignal): Promise<boolean> {
    await writer.room(signal);
    const same = await writer.write(delivery, signal);
    if (same) fills?.delivered(delivery);
    feed.clock = delivery.clock;
    if (delivery.bars.length > 0) feed.barsArrived();
    if (delivery.state !== undefined && same) {
      if (delivery.state === 'failed') logger.error('the source failed', { reason: delivery.reason });
      feed.enter(delivery.state, delivery.reason);
    }
    return same;
  }

  /** What a newly registered symbol lacks is looked for once its live bars flow. */
  const registered = async () => async () => fills?.wake();

  async function playAgainAndAgain(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) await play(signal);
  }

  // Where one part fails for good, all of them end, and the failure is thrown.
  const inner = new AbortController();
  const signal = AbortSignal.any([term.signal, inner.signal]);
  const failures: unknown[] = [];
  const failed = (err: unknown) => {
    if (err instanceof NotLeader) term.lose('an append was refused');
    // Whatever was tried when the signal came was given up for it.
    else if (!signal.aborted) failures.push(err);
    inner.abort();
  };
  const toldTicks = {
    publish: async (messages: Parameters<Bus['publish']>[0]) => {
      if (term.isHeld()) await bus.publish(messages);
    },
  };
  const reporting = new AbortController();
  const reports = feed.run(reporting.signal);
  let filling: Promise<void> | undefined;
  try {
    if (!(await writer.open(term.token, signal))) logger.warn('the journal is another one: starting again');
    filling = fills?.run(signal).catch(failed);
    const parts = [
      playAgainAndAgain(signal),
      symbols?.follow(registered, signal),
      rebuilds && relayRebuilds({ store: rebuilds, append: writer.appendOrder, time, logger }, signal),
      source.ticks &&
        relayTicks({ ticks: source.ticks, bus: toldTicks, channels, time, logger, onTold: onTicks }, signal),
    ];
    await Promise.all(parts.map((part) => part?.catch(failed)));
  } catch (err) {
    failed(err);
  }
  await writer.idle();
  reporting.abort();
  await reports;
  await feed.close();
  await term.release();
  await filling;
  if (failures.length > 0) throw failures[0];
}

/** The source's live stream, in which its error is the last delivery. */
async function* liveOf(source: Source, signal: AbortSignal): AsyncGenerator<Delivery> {
  try {
    yield* source.live(signal);
  } catch (err) {
    yield { clock: null, bars: [], state: 'failed', reason: err instanceof Error ? err.message : String(err) };
  }
}

function summaryOf(before: Counters, after: Counters, durationMs: number): Record<string, unknown> {
  const refused: Record<string, number> = {};
  let malformed = 0;
  for (const [reason, count] of Object.entries(after.refused)) {
    const added = count - (before.refused[reason] ?? 0);
    if (added > 0) refused[reason] = added;
    malformed += added;
  }
  const bars = after.bars - before.bars;
  return { lines: bars + malformed, bars, malformed, refused, entries: after.entries - before.entries, durationMs };
}
