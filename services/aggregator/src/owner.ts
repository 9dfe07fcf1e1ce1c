import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';

/** A name for this process's life, by which {@link isOfThisHost} tells where it lives. */
export function newOwner(): string {
  return `${hostname()}:${process.pid}:${randomUUID().slice(0, 8)}`;
}

/** Whether an owner was named on this host, which is a container where there is one. */
export function isOfThisHost(owner: string): boolean {
  return owner.startsWith(`${hostname()}:`);
}

/** Another owner has the partition: nothing was written, and nothing may be from here on. */
export class Fenced extends Error {
  constructor(partition: number) {
    super(`partition ${partition} has another owner`);
    this.name = 'Fenced';
  }
}
