import type { Outbox } from './outbox';

/** What one client is told at the same time. */
const AT_ONCE = 8;

/** Something that a client has to be told from the store, a piece at a time. */
export interface Task {
  readonly isOver: boolean;
  /** Tells one piece; whoever has more to tell adds itself again. */
  step(): Promise<void>;
}

/** One client, as live delivery sees it. */
export interface LiveClient {
  readonly outbox: Outbox;
  readonly work: Work;
  /** More waits for it than it should: it is told no more until it has read that. */
  isSlow(): boolean;
}

/** What a client is still to be told, at its own pace. */
export class Work {
  private tasks: Task[] = [];
  private working = 0;
  private ended = false;

  /**
   * @param pacedBytes more is added only where no more than that waits
   * @param onFailure hears of what fails and is nobody's mistake: the client cannot be told any more
   */
  constructor(
    private readonly outbox: Outbox,
    private readonly pacedBytes: number,
    private readonly onFailure: (err: unknown) => void,
  ) {}

  add(task: Task): void {
    if (this.ended) return;
    this.tasks.push(task);
    if (this.working >= AT_ONCE) return;
    this.working++;
    void this.run();
  }

  /** Calls `tell` when the client can take much. */
  pace(tell: () => void): Promise<void> {
    return this.outbox.paced(this.pacedBytes, tell);
  }

  end(): void {
    this.ended = true;
    this.tasks = [];
  }

  private async run(): Promise<void> {
    try {
      while (this.tasks.length > 0) {
        // What is read for somebody who cannot take it is old when it can.
        await this.pace(() => {});
        const task = this.tasks.shift();
        if (task !== undefined && !task.isOver) await task.step();
      }
    } catch (err) {
      if (!this.ended) this.onFailure(err);
    } finally {
      this.working--;
    }
  }
}
