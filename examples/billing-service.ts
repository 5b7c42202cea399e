/**
 * Reads every order and writes one invoice for it, whatever happens to this process.
 *
 *   node scripts/run.mjs examples/billing-service.ts
 *
 * There are no consumer groups yet, so it keeps its own positions, and their order is what counts: the invoices of a
 * batch are on disk before the position behind it is. Killed between the two, it is given the batch again at its next
 * start (delivery is at least once), and skips the orders that have an invoice. The same goes for an order that was sent
 * twice.
 *
 * BILLING_DIRECTORY is where it writes; it belongs to one process at a time. A real service has a database: then invoice
 * and position go into one transaction, with a unique key on the order's id.
 */
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { Sluice } from '@sluice/client';
import type { ConsumedBatch } from '@sluice/client';
import { InvoiceBook } from './invoice-book.ts';
import { bootstrap, openOrdersTopic, ordersTopic, parseOrder } from './orders.ts';
import type { Order } from './orders.ts';
import { PositionsFile } from './positions-file.ts';

const stopped = Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);

const directory = path.resolve(process.env['BILLING_DIRECTORY'] ?? 'billing-data');
await mkdir(directory, { recursive: true });

await using sluice = new Sluice({ bootstrap, clientId: 'billing-service' });
const topic = await openOrdersTopic(sluice, stopped);

await using book = await InvoiceBook.open(path.join(directory, 'invoices.jsonl'));
const positions = await PositionsFile.open(path.join(directory, 'positions.json'), topic.id);

const consumer = sluice.consumer({
  assignments: topic.partitions.map(({ partition }) => ({
    topic: ordersTopic,
    partition,
    from: positions.next(partition) ?? 'start',
  })),
});

// Ends the loop below, after the batch that it is at.
void stopped.then(() => consumer.close());

console.log(`reading ${ordersTopic}, ${book.size} invoices in ${directory}`);
for await (const batch of consumer.batches()) {
  await book.write(ordersOf(batch));
  await positions.save(batch.partition, batch.nextOffset);
}
console.log(`stopped, ${book.size} invoices`);

function ordersOf(batch: ConsumedBatch): Order[] {
  const text = new TextDecoder();
  const orders: Order[] = [];
  for (const { offset, value } of batch.records()) {
    const order = value === null ? undefined : parseOrder(text.decode(value));
    // To stop here would stop for ever: who repairs it finds it by its place.
    if (order === undefined) console.error(`no order, left out: partition ${batch.partition}, offset ${offset}`);
    else orders.push(order);
  }
  return orders;
}
