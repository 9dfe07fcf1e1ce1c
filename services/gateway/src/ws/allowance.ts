/** So many at once, and then so many in time. */
export class Allowance {
  private left: number;

  /** @param at the present; of the same clock as later */
  constructor(
    private readonly burst: number,
    private readonly perMs: number,
    private at: number,
  ) {
    this.left = burst;
  }

  /** Takes one. @returns false where none was left */
  take(now: number): boolean {
    this.left = Math.min(this.burst, this.left + (now - this.at) * this.perMs);
    this.at = now;
    if (this.left < 1) return false;
    this.left--;
    return true;
  }
}
