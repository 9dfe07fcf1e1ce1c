import type { Logger } from '@candlewire/runtime';
import type { Bus, Demand, Journal, Leader, Message } from './bus';
import { InProcessConnection, Post } from './in-process-connection';
import { InProcessDemand, Leases } from './in-process-demand';
import { InProcessJournal, type JournalLog } from './in-process-journal';
import { InProcessLeader, Lead } from './in-process-leader';

/** What the buses of one process have in common. */
export interface InProcessHub {
  /** One more bus on the hub, as another process would have it on Redis; closing it closes no other. */
  connect(): Bus;
}

/**
 * A hub for services that share one process, where no Redis can be had. It is never away and loses nothing, but what it
 * holds ends with the process: with the next start every journal is another one.
 *
 * What differs from Redis: a message has reached its listeners when its publication resolves; `onReconnect` never calls.
 */
export function createInProcessBus({ logger }: { readonly logger: Logger }): InProcessHub {
  const hub: Hub = {
    logger,
    post: new Post(logger),
    kept: new Map(),
    logs: new Map(),
    lead: new Lead(),
    leases: new Leases(),
  };
  return { connect: () => new InProcessBus(hub) };
}

interface Hub {
  readonly logger: Logger;
  readonly post: Post;
  /** Last values by channel; one each. */
  readonly kept: Map<string, string>;
  readonly logs: Map<number, JournalLog>;
  readonly lead: Lead;
  readonly leases: Leases;
}

class InProcessBus implements Bus {
  readonly kind = 'in-process';
  readonly journal: Journal;
  readonly leader: Leader;
  readonly demand: Demand;
  private readonly connection: InProcessConnection;

  constructor(private readonly hub: Hub) {
    this.connection = new InProcessConnection(hub.post);
    this.journal = new InProcessJournal(hub.logs, hub.lead, this.connection);
    this.leader = new InProcessLeader(hub.lead, this.connection);
    this.demand = new InProcessDemand(hub.leases, this.connection, hub.logger);
  }

  async publish(messages: readonly Message[]): Promise<void> {
    await this.connection.run(() => this.connection.send(messages));
  }

  subscribe(channel: string, listener: (text: string) => void): Promise<() => Promise<void>> {
    return this.connection.subscribe(channel, listener);
  }

  relay(channel: string, listener: (bytes: Buffer) => void): Promise<() => Promise<void>> {
    return this.connection.subscribe(channel, (text) => listener(Buffer.from(text)));
  }

  async keep(message: Message): Promise<void> {
    await this.connection.run(() => {
      this.hub.kept.set(message.channel, message.text);
      return this.connection.send([message]);
    });
  }

  kept(channel: string): Promise<string | null> {
    return this.connection.run(() => this.hub.kept.get(channel) ?? null);
  }

  onReconnect(): void {
    // There is no connection to lose.
  }

  ping(): Promise<boolean> {
    return this.connection.run(() => true).catch(() => false);
  }

  async close(): Promise<void> {
    this.connection.close();
  }
}
