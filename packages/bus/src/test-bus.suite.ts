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
