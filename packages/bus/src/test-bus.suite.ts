import { waitFor } from '@candlewire/testkit';
import type { Bus } from './bus';

/** A bus implementation with a room of its own, made anew for each suite. */
export interface BusUnderTest {
  readonly prefix: string;
  /** One more bus in the same room, as another process would have it. */
  connect(): Bus;
  /** Forgets everything that was kept in the room, as a server that was emptied; only where `canBeEmptied`. */
  empty?(): Promise<void>;
  close(): Promise<void>;
}

/** Resolves when each of them is connected, however long that takes: commands do not wait for it so long. */
export async function whenConnected(...buses: readonly Bus[]): Promise<void> {
  await Promise.all(buses.map((bus) => waitFor(() => bus.ping(), { what: 'the bus is there' })));
}
