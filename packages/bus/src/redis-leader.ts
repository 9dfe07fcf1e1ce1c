import { randomUUID } from 'node:crypto';
import type { Channels } from '@candlewire/contracts';
import type { Bus, Leader } from './bus';
import { LEADER_SCRIPTS } from './leader-scripts';
import { checkLease } from './limits';
import type { Commands } from './redis-connection';

/** The leader on Redis: a key that expires, changed by scripts alone. */
export class RedisLeader implements Leader {
  private readonly keys: readonly [lease: string, count: string];

  constructor(
    private readonly commands: Commands,
    channels: Channels,
    private readonly subscribe: Bus['subscribe'],
  ) {
    this.keys = [channels.leader, channels.leaderCount];
    for (const [name, lua] of Object.entries(LEADER_SCRIPTS)) commands.define(name, { lua, numberOfKeys: 2 });
  }

  async acquire(owner: string, leaseMs: number): Promise<string | null> {
    checkLease(leaseMs);
    return this.commands.run((redis) => redis.leaderAcquire(...this.keys, owner, Math.ceil(leaseMs), randomUUID()));
  }

  async renew(token: string, leaseMs: number): Promise<boolean> {
    checkLease(leaseMs);
    return (await this.commands.run((redis) => redis.leaderRenew(...this.keys, token, Math.ceil(leaseMs)))) === 1;
  }

  async release(token: string): Promise<void> {
    await this.commands.run((redis) => redis.leaderRelease(...this.keys, token));
  }

  onRelease(listener: () => void): Promise<() => Promise<void>> {
    return this.subscribe(this.keys[0], () => listener());
  }
}
