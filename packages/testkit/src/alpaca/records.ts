import type { Encoding } from '@candlewire/alpaca';

/** What a client did on one connection. Kept after its end; times of the wall clock, epoch ms. */
export interface ConnectionRecord {
  readonly number: number;
  /** `/v2/iex` */
  readonly path: string;
  readonly encoding: Encoding;
  readonly openedAt: number;
  /** Null while it is open. */
  readonly closedAt: number | null;
  /** 1006 where there was no close frame. */
  readonly closeCode: number | null;
  /** False where the upgrade was refused or hangs. */
  readonly upgraded: boolean;
  /** One for each auth message (or headers with credentials), and the code with which it was refused. */
  readonly auths: readonly { readonly at: number; readonly key: string; readonly refused: number | null }[];
  readonly authenticated: boolean;
  /** The set in force: channel to sorted symbols. Channels without any are left out. */
  readonly subscribed: Readonly<Record<string, readonly string[]>>;
  /** Messages of the client as they were decoded; secrets stand as `***`. */
  readonly received: readonly unknown[];
  /** Messages of data sent, by type. */
  readonly sent: Readonly<Record<string, number>>;
}

export interface RequestRecord {
  readonly number: number;
  /** Wall clock, epoch ms. */
  readonly at: number;
  /** The market's clock, epoch ms. */
  readonly marketTime: number;
  readonly path: string;
  readonly query: URLSearchParams;
  /** Null: not answered (yet). */
  readonly status: number | null;
}
