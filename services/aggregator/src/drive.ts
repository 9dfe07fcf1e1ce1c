import type { Answer, Need } from '@candlewire/candles';

/**
 * Runs generators side by side: in each round the needs of all of them are answered together, so that a batch of a
 * hundred symbols costs as many round trips as one symbol.
 * @returns what each returned, in order
 */
export async function drive<T>(
  runs: readonly Generator<Need[], T, Answer[]>[],
  answer: (needs: readonly Need[]) => Promise<Answer[]>,
): Promise<T[]> {
  const results = new Array<T>(runs.length);
  let waiting: { readonly at: number; readonly needs: Need[] }[] = [];
  const resume = (at: number, step: IteratorResult<Need[], T>) => {
    if (step.done) results[at] = step.value;
    else waiting.push({ at, needs: step.value });
  };
  for (const [at, run] of runs.entries()) resume(at, run.next([]));
  while (waiting.length > 0) {
    const round = waiting;
    waiting = [];
    const answers = await answer(round.flatMap(({ needs }) => needs));
    let taken = 0;
    for (const { at, needs } of round) {
      const mine = answers.slice(taken, taken + needs.length);
      taken += needs.length;
      resume(at, runs[at]!.next(mine));
    }
  }
  return results;
}
