/**
 * The invoices, one JSON line each, in a file that only grows. Made by the billing service.
 *
 * I1 `write` resolves when its invoices are on disk.
 * I2 No order has two invoices, however often it is written. All ids are kept in memory for that; a database would have
 *    an index.
 */
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { syncDirectory } from './durable-file.ts';
import type { Order } from './orders.ts';

export class InvoiceBook implements AsyncDisposable {
  readonly #file: FileHandle;
  readonly #billed: Set<string>;

  private constructor(file: FileHandle, billed: Set<string>) {
    this.#file = file;
    this.#billed = billed;
  }

  static async open(name: string): Promise<InvoiceBook> {
    const file = await open(name, 'a+');
    const text = await file.readFile('utf8');
    // A process that was killed while it wrote leaves half a line, whose order was not said to be billed: it comes again.
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    await file.truncate(Buffer.byteLength(whole));
    await file.sync();
    await syncDirectory(path.dirname(name));
    const lines = whole.split('\n').filter((line) => line !== '');
    return new InvoiceBook(file, new Set(lines.map((line) => (JSON.parse(line) as Order).id)));
  }

  get size(): number {
    return this.#billed.size;
  }

  async write(orders: readonly Order[]): Promise<void> {
    const lines: string[] = [];
    for (const order of orders) {
      if (this.#billed.has(order.id)) continue;
      this.#billed.add(order.id);
      lines.push(`${JSON.stringify(order)}\n`);
    }
    if (lines.length === 0) return;
    // An error here ends the process, and the next start reads what the file holds.
    await this.#file.appendFile(lines.join(''));
    await this.#file.datasync();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#file.close();
  }
}
