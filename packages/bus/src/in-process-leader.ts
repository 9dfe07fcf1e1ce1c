import { randomUUID } from 'node:crypto';
import { channelsOf } from '@candlewire/contracts';
import type { Leader } from './bus';
import type { InProcessConnection } from './in-process-connection';
import { checkLease } from './limits';

const channel = channelsOf().leader;

/** Who leads, until when: what key and scripts are on Redis. */
export class Lead {
  private held: { readonly owner: string; readonly token: string; endsAt: number } | null = null;
  private count = 0;

  acquire(owner: string, leaseMs: number): string | null {
    if (this.current !== null && this.current.owner !== owner) return null;
    const token = `${++this.count}:${randomUUID()}:${owner}`;
    this.held = { owner, token, endsAt: performance.now() + leaseMs };
    return token;
  }

  isHeldBy(token: string): boolean {
    return this.current?.token === token;
  }

  /** @returns whether it still led */
  renew(token: string, leaseMs: number): boolean {
    const { current } = this;
    if (current?.token !== token) return false;
    current.endsAt = performance.now() + leaseMs;
    return true;
  }

  /** @returns whether it still led */
  release(token: string): boolean {
    if (!this.isHeldBy(token)) return false;
    this.held = null;
    return true;
  }

  private get current() {
    return this.held !== null && performance.now() < this.held.endsAt ? this.held : null;
  }
}

/** The leader on a bus within the process. */
export class InProcessLeader implements Leader {
  constructor(
    private readonly lead: Lead,
    private readonly connection: InProcessConnection,
  ) {}

  async acquire(owner: string, leaseMs: number): Promise<string | null> {
    checkLease(leaseMs);
    return this.connection.run(() => this.lead.acquire(owner, leaseMs));
  }

  async renew(token: string, leaseMs: number): Promise<boolean> {
    checkLease(leaseMs);
    return this.connection.run(() => this.lead.renew(token, leaseMs));
  }

  async release(token: string): Promise<void> {
    await this.connection.run(() => this.connection.send(this.lead.release(token) ? [{ channel, text: token }] : []));
  }

  onRelease(listener: () => void): Promise<() => Promise<void>> {
    return this.connection.subscribe(channel, () => listener());
  }
}
