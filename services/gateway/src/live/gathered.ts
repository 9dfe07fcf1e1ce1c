interface Asked<Question, Answer> {
  readonly question: Question;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (err: unknown) => void;
}

/**
 * Questions that are answered together. What is asked in one moment, or while an answer is under way, goes with the next
 * read: never with one that began before it was asked, whose answer may be too old.
 */
export class Gathered<Question, Answer> {
  private asked: Asked<Question, Answer>[] = [];
  private reading = false;

  /**
   * @param read answers in the order of the questions, of which there is at least one
   * @param countMax questions of one read
   */
  constructor(
    private readonly read: (questions: readonly Question[]) => Promise<readonly Answer[]>,
    private readonly countMax: number,
  ) {}

  ask(question: Question): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.asked.push({ question, resolve, reject });
      if (this.reading) return;
      this.reading = true;
      void this.work();
    });
  }

  private async work(): Promise<void> {
    // Lets everything that is asked in this moment into the first read.
    await Promise.resolve();
    while (this.asked.length > 0) {
      const some = this.asked.splice(0, this.countMax);
      try {
        const answers = await this.read(some.map(({ question }) => question));
        for (const [i, { resolve }] of some.entries()) resolve(answers[i]!);
      } catch (err) {
        for (const { reject } of some) reject(err);
      }
    }
    this.reading = false;
  }
}
