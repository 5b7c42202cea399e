/**
 * Byte credits of one direction of a stream (design §4: gRPC's own back-pressure counts messages). Pure.
 *
 * Credit counts the bytes of batches, not of whole messages. A batch is sent whole while any credit is left, so the
 * last one may overdraw: a window smaller than a batch slows a stream down and never stops it.
 *
 * A batch that comes in parts is charged whole with its first. So that the stream does not stand still until it is dealt
 * with, one such batch at a time stands apart: the receiver grants its bytes again at once, and holds at most a window
 * and that batch. Of the window the guaranteed part is there however large the batch is: small ones pass beside it even
 * when it alone is more than the budget.
 */
import { invariant, SluiceError } from '@sluice/base';

interface UnderWay {
  bytes: number;
  readonly isBehind: boolean;
}

/** Kept by the sender: what it may still send. */
export class SendCredit {
  #available = 0;
  /** The most there ever was: what the receiver takes with nothing under way. */
  #windowBytes = 0;
  /** Oldest first, since bytes come back about in the order in which they went. Empty while nothing behind is under way. */
  #underWay: UnderWay[] = [];
  #behindBytes = 0;

  /** Negative after the last batch overdrew. */
  get availableBytes(): number {
    return this.#available;
  }

  get canSend(): boolean {
    return this.#available > 0;
  }

  get windowBytes(): number {
    return this.#windowBytes;
  }

  /** What is behind may hold half of the window: the rest is there for what is new. */
  get canSendBehind(): boolean {
    return this.#available > 0 && this.#behindBytes * 2 < this.#windowBytes;
  }

  grant(bytes: number): void {
    invariant(Number.isSafeInteger(bytes) && bytes >= 0, 'a grant is a number of bytes', { bytes });
    // A receiver that grants for ever cannot make the sum inexact.
    this.#available = Math.min(this.#available + bytes, Number.MAX_SAFE_INTEGER);
    this.#windowBytes = Math.max(this.#windowBytes, this.#available);
    this.#cameBack(bytes);
  }

  /** Takes the bytes of one batch, or takes nothing and returns false when no credit is left. */
  take(bytes: number): boolean {
    if (this.#available <= 0) return false;
    this.overdraw(bytes);
    return true;
  }

  /** Takes the bytes of a batch that was fetched while credit was left, though others may have used it up since. */
  overdraw(bytes: number): void {
    this.#available -= bytes;
    if (this.#behindBytes > 0) this.#went(bytes, false);
  }

  /** As `overdraw`, for what was read while `canSendBehind` held. */
  takeBehind(bytes: number): void {
    if (this.#behindBytes === 0) this.#underWay = [{ bytes: this.#windowBytes - this.#available, isBehind: false }];
    this.#available -= bytes;
    this.#behindBytes += bytes;
    this.#went(bytes, true);
  }

  #went(bytes: number, isBehind: boolean): void {
    const newest = this.#underWay.at(-1);
    if (newest?.isBehind === isBehind) newest.bytes += bytes;
    else this.#underWay.push({ bytes, isBehind });
  }

  #cameBack(bytes: number): void {
    let leftBytes = bytes;
    for (let oldest = this.#underWay[0]; oldest !== undefined && leftBytes > 0; oldest = this.#underWay[0]) {
      const cameBytes = Math.min(oldest.bytes, leftBytes);
      oldest.bytes -= cameBytes;
      leftBytes -= cameBytes;
      if (oldest.isBehind) this.#behindBytes -= cameBytes;
      if (oldest.bytes === 0) this.#underWay.shift();
    }
    if (this.#behindBytes === 0) this.#underWay = [];
  }
}

export interface CreditBudgetOptions {
  /** Over all streams, beyond the guaranteed windows: granted or received and not yet released. */
  readonly totalBytes: number;
  /** The window that every stream has whatever the others do; default 64 KiB. */
  readonly guaranteedBytes?: number;
}

export interface ReceiveCreditOptions {
  /** The window grows up to this, by what is released, while the budget has room. */
  readonly windowBytesMax: number;
  /**
   * Bytes that were withheld by an earlier `release` and may be granted now. Called from inside `release` or `close`
   * of any stream.
   */
  readonly onGrant: (bytes: number) => void;
}

/**
 * The node's receive memory, shared by all streams.
 *
 * C1 The sum over streams of apart + max(0, granted + held − apart − guaranteed) grows by grants only up to `totalBytes`;
 *    a batch that overdraws or comes to stand apart may push it over, and then nothing more is granted until it is back.
 * C2 Credit is never lost: what a stream may send equals all that it was granted less all that it sent.
 * C3 Withheld grants are given in the order in which they were withheld.
 */
export class CreditBudget {
  readonly totalBytes: number;
  readonly guaranteedBytes: number;
  readonly #waiting = new Set<ReceiveCredit>();
  #charged = 0;

  constructor(options: CreditBudgetOptions) {
    this.totalBytes = options.totalBytes;
    this.guaranteedBytes = options.guaranteedBytes ?? 65_536;
  }

  /** What the streams occupy beyond their guaranteed windows. */
  get chargedBytes(): number {
    return this.#charged;
  }

  get waitingStreams(): number {
    return this.#waiting.size;
  }

  open(options: ReceiveCreditOptions): ReceiveCredit {
    return new ReceiveCredit(options, {
      guaranteedBytes: this.guaranteedBytes,
      roomBytes: () => Math.max(0, this.totalBytes - this.#charged),
      charge: (bytes) => {
        this.#charged += bytes;
        invariant(this.#charged >= 0, 'C1: more was given back than charged', { charged: this.#charged });
      },
      queue: (credit) => this.#waiting.add(credit),
      isFirst: (credit) => (this.#first ?? credit) === credit,
      leave: (credit) => this.#waiting.delete(credit),
      resume: () => this.#resume(),
    });
  }

  get #first(): ReceiveCredit | undefined {
    return this.#waiting.values().next().value;
  }

  #resume(): void {
    for (let first = this.#first; first !== undefined; first = this.#first) {
      if (!first.resume()) return;
    }
  }
}

/** What a stream sees of its budget. */
interface BudgetShare {
  readonly guaranteedBytes: number;
  roomBytes(): number;
  charge(bytes: number): void;
  queue(credit: ReceiveCredit): unknown;
  /** True when no other stream waits before this one. */
  isFirst(credit: ReceiveCredit): boolean;
  leave(credit: ReceiveCredit): unknown;
  resume(): void;
}

/** Kept by the receiver: what the other side may still send to us. Made by `CreditBudget.open`. */
export class ReceiveCredit {
  /** To be granted in the first message of the stream. */
  readonly initialBytes: number;
  readonly #options: ReceiveCreditOptions;
  readonly #budget: BudgetShare;
  #windowBytes: number;
  /** Granted and not yet received; negative after an overdraft. */
  #granted: number;
  /** Received and not yet released. */
  #held = 0;
  /** Of `#held`, the batch that uses up nothing of the window; 0: none. */
  #apart = 0;
  #closed = false;

  constructor(options: ReceiveCreditOptions, budget: BudgetShare) {
    this.#options = options;
    this.#budget = budget;
    this.initialBytes = Math.min(options.windowBytesMax, budget.guaranteedBytes);
    this.#windowBytes = this.initialBytes;
    this.#granted = this.initialBytes;
  }

  get windowBytes(): number {
    return this.#windowBytes;
  }

  get heldBytes(): number {
    return this.#held;
  }

  get grantedBytes(): number {
    return this.#granted;
  }

  /** Counts one received batch. Throws `CREDIT_EXCEEDED` when no credit was left: close the stream with it. */
  onReceived(bytes: number): void {
    if (this.#closed) return;
    if (bytes > 0 && this.#granted <= 0) {
      throw new SluiceError('CREDIT_EXCEEDED', { details: { bytes, grantedBytes: this.#granted } });
    }
    this.#change(() => {
      this.#granted -= bytes;
      this.#held += bytes;
    });
  }

  /** Counts a batch of which the first part came, with all that follows. Returns what to grant now, as `release`. */
  onFirstPart(batchBytes: number): number {
    this.onReceived(batchBytes);
    if (this.#closed || this.#apart > 0) return 0;
    this.#change(() => {
      this.#apart = batchBytes;
    });
    return this.flush();
  }

  /**
   * These bytes are dealt with. Returns what to grant now, 0 until it is worth a message (a quarter of the window).
   * What the budget has no room for follows through `onGrant`.
   */
  release(bytes: number): number {
    if (this.#closed) return 0;
    invariant(bytes >= 0 && bytes <= this.#held, 'C2: more was released than received', { bytes, held: this.#held });
    this.#change(() => {
      this.#held -= bytes;
      // Of two batches of one size it does not matter which stood apart.
      if (bytes === this.#apart) this.#apart = 0;
    });
    this.#windowBytes = Math.min(this.#options.windowBytesMax, this.#windowBytes + bytes);
    const granted = this.#wantedBytes * 4 >= this.#windowBytes ? this.flush() : 0;
    this.#budget.resume();
    return granted;
  }

  /** Grants all that is due however little it is, for a message that goes out anyway. */
  flush(): number {
    if (this.#closed || this.#wantedBytes <= 0) return 0;
    const granted = this.#grant();
    if (this.#wantedBytes > 0) this.#budget.queue(this);
    else this.#budget.leave(this);
    return granted;
  }

  /** The stream is over: gives everything back. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#budget.leave(this);
    this.#change(() => {
      this.#granted = 0;
      this.#held = 0;
      this.#apart = 0;
    });
    this.#budget.resume();
  }

  /** Called by the budget when there may be room for what was withheld; true when nothing is withheld any more. */
  resume(): boolean {
    const worthAMessage = Math.min(this.#wantedBytes, this.#windowBytes / 4);
    if (this.#budget.roomBytes() < worthAMessage) return false;
    const granted = this.#grant();
    const satisfied = this.#wantedBytes <= 0;
    if (satisfied) this.#budget.leave(this);
    if (granted > 0) this.#options.onGrant(granted);
    return satisfied;
  }

  get #wantedBytes(): number {
    return this.#windowBytes - this.#granted - (this.#held - this.#apart);
  }

  /** Beyond its guaranteed window a stream waits behind those that were withheld earlier (C3). */
  #grant(): number {
    const { guaranteedBytes } = this.#budget;
    const room = this.#budget.isFirst(this) ? this.#budget.roomBytes() : 0;
    const level = guaranteedBytes + this.#charge + room;
    const bytes = Math.max(0, Math.min(this.#wantedBytes, level - this.#held - this.#granted));
    this.#change(() => {
      this.#granted += bytes;
    });
    return bytes;
  }

  /** What stands apart is charged whole, and leaves the guaranteed window to the others. */
  get #charge(): number {
    const windowBytes = Math.max(0, this.#granted) + this.#held - this.#apart;
    return this.#apart + Math.max(0, windowBytes - this.#budget.guaranteedBytes);
  }

  #change(apply: () => void): void {
    const before = this.#charge;
    apply();
    this.#budget.charge(this.#charge - before);
  }
}
