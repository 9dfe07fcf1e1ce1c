/** There was no answer in time; whether there will be one is unknown. */
export class Late extends Error {
  constructor(ms: number) {
    super(`no answer within ${ms} ms`);
    this.name = 'Late';
  }
}

/**
 * What `act` resolves with, if it does so within `ms`: what it does later is nobody's business any more, failures included.
 * @throws Late
 */
export async function within<T>(ms: number, act: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  try {
    return await Promise.race([
      act(),
      new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Late(ms)), ms);
      }),
    ]);
  } finally {
    clearTimeout(timer);
  }
}
