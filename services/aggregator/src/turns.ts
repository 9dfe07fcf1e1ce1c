/** Lets so many through at a time, in the order in which they come. */
export class Turns {
  private readonly waiting: (() => void)[] = [];
  private taken = 0;

  constructor(private readonly countMax: number) {}

  async take<T>(act: () => Promise<T>): Promise<T> {
    if (this.taken < this.countMax) this.taken++;
    // Whoever ends hands its turn on.
    else await new Promise<void>((resolve) => this.waiting.push(resolve));
    try {
      return await act();
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) this.taken--;
      else next();
    }
  }
}
