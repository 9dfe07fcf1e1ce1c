/**
 * The bus cannot be reached, or cannot take anything at present. Where the connection broke while a call was under way,
 * what was asked for may have happened all the same.
 */
export class BusUnavailable extends Error {
  readonly code = 'unavailable';
  readonly retryable = true;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'BusUnavailable';
  }
}

/** The bus was closed by this process; nothing of it will come back. */
export class BusClosed extends Error {
  readonly code = 'unavailable';
  readonly retryable = false;

  constructor() {
    super('the bus is closed');
    this.name = 'BusClosed';
  }
}

/** An append came from somebody who does not lead any more. Nothing helps but to lead again, with another token. */
export class NotLeader extends Error {
  readonly code = 'not_leader';
  readonly retryable = false;

  constructor() {
    super('another one leads, or nobody');
    this.name = 'NotLeader';
  }
}
