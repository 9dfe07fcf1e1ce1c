import type { ServerMessage } from './link.ts';
import type { LeftOutEvent } from './types.ts';

/** One subscription, and what it was told last. */
interface Listener {
  readonly watched: ReadonlySet<string>;
  readonly tell: (event: LeftOutEvent) => void;
  told: readonly string[];
}

/**
 * Which symbols are followed in vain. The server tells it of the whole connection, and whenever it changes; each subscription
 * hears of its own symbols alone, and only what is new to it.
 */
export class LeftOutFeed {
  private symbols: readonly string[] = [];
  private readonly listeners = new Set<Listener>();

  /** Tells of the `watched` symbols (`*`: of all) until the function that it gives is called; at once where there is something to tell. */
  follow(watched: readonly string[], tell: (event: LeftOutEvent) => void): () => void {
    const listener: Listener = { watched: new Set(watched), tell, told: [] };
    this.listeners.add(listener);
    this.update(listener);
    return () => {
      this.listeners.delete(listener);
    };
  }

  /** Takes a message, if it is of this. */
  take({ type, symbols }: ServerMessage): void {
    if (type === 'left_out' && Array.isArray(symbols)) this.become(symbols as readonly string[]);
  }

  /** The connection is gone. The next one tells who is left out then, and says nothing where nobody is. */
  lost(): void {
    this.become([]);
  }

  private become(symbols: readonly string[]): void {
    this.symbols = symbols;
    for (const listener of [...this.listeners]) this.update(listener);
  }

  private update(listener: Listener): void {
    const { watched, told } = listener;
    const symbols = this.symbols.filter((symbol) => watched.has(symbol) || watched.has('*'));
    if (symbols.join() === told.join()) return;
    listener.told = symbols;
    listener.tell({ type: 'left_out', symbols });
  }
}
