/**
 * Takes orders over HTTP, and says that it has one when it is on the disks of the in-sync nodes.
 *
 *   node scripts/run.mjs examples/order-service.ts
 *   curl -X PUT http://127.0.0.1:8080/orders/1001 -d '{"customer":"ada","cents":1250}'
 *
 * | answer | what the caller knows                             | what it does                          |
 * |--------|---------------------------------------------------|---------------------------------------|
 * | 201    | the order is stored                               | nothing                               |
 * | 400    | it is no order                                    | corrects it                           |
 * | 503    | it is not stored                                  | sends the same again, a little later  |
 * | 504    | nobody knows yet whether it is stored             | sends the same again: the id is known |
 *
 * The id is the caller's, so a repetition is told by it: `billing-service.ts` bills each id once. SLUICE_BOOTSTRAP, HOST
 * and PORT say where the cluster is and where to listen.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isSluiceError, Sluice } from '@sluice/client';
import { bootstrap, openOrdersTopic, ordersTopic, parseOrder } from './orders.ts';
import type { Order } from './orders.ts';

/** An HTTP caller wants to know where it stands before it gives up by itself. */
const deliveryTimeoutMs = 10_000;

/** Orders that wait for their ack. Beyond that callers are sent away at once, which is kinder than a long queue. */
const underWayMax = 1_000;
const bodyBytesMax = 16 * 1024;

interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

const stopped = Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);

await using sluice = new Sluice({
  bootstrap,
  clientId: 'order-service',
  // What the client heals by itself; worth a line, not an alarm.
  onStatus: (status) => {
    if (status.kind === 'disconnected' || status.kind === 'leader-changed') console.error(JSON.stringify(status));
  },
});
await openOrdersTopic(sluice, stopped);
const producer = sluice.producer({ deliveryTimeoutMs });

let underWay = 0;
let stopping = false;

async function take(request: IncomingMessage): Promise<Answer> {
  const id = /^\/orders\/([\w-]{1,100})$/.exec(request.url ?? '')?.[1];
  if (id === undefined) return { status: 404, body: { error: 'orders are put at /orders/ID' } };
  if (request.method !== 'PUT') return { status: 405, body: { error: 'PUT only' } };
  const text = await bodyOf(request);
  if (text === undefined) return { status: 413, body: { error: `an order has at most ${bodyBytesMax} bytes` } };
  const order = parseOrder(text, { id });
  if (order === undefined) return { status: 400, body: { error: 'an order is {"customer": text, "cents": integer}' } };
  if (underWay >= underWayMax) return { status: 503, body: { error: 'too many orders are under way', stored: false } };
  return store(order);
}

async function store(order: Order): Promise<Answer> {
  underWay += 1;
  try {
    // One key, one partition: the orders of a customer stay in order. While the buffer is full, `send` waits for room.
    const { partition, offset } = await producer.send(ordersTopic, {
      key: order.customer,
      value: JSON.stringify(order),
    });
    return { status: 201, body: { id: order.id, partition, offset } };
  } catch (error) {
    if (!isSluiceError(error)) throw error;
    // The producer has sent again for as long as that could help: what is left to say is whether anything happened.
    const { code, definite, message } = error;
    console.error(`order ${order.id}: ${code}: ${message}`);
    return { status: definite ? 503 : 504, body: { error: message, code, stored: definite ? false : 'unknown' } };
  } finally {
    underWay -= 1;
  }
}

/** Undefined when it is too long. */
async function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength;
    // The rest is read and dropped: to break off would close the connection before the answer.
    if (bytes <= bodyBytesMax) chunks.push(chunk);
  }
  return bytes > bodyBytesMax ? undefined : Buffer.concat(chunks).toString();
}

function reply(response: ServerResponse, { status, body }: Answer): void {
  response.writeHead(status, {
    'content-type': 'application/json',
    ...(status === 503 || status === 504 ? { 'retry-after': '1' } : {}),
    // Without this a caller with a kept connection would hold up the stop.
    ...(stopping ? { connection: 'close' } : {}),
  });
  response.end(`${JSON.stringify(body)}\n`);
}

const server = createServer({ requestTimeout: 10_000 }, (request, response) => {
  take(request).then(
    (answer) => reply(response, answer),
    (error: unknown) => {
      // The caller went away in the middle of its order, or this is a bug: either way it was not given to the producer.
      console.error(error);
      reply(response, { status: 500, body: { error: 'the order could not be read' } });
    },
  );
});
server.maxConnections = 2 * underWayMax;
server.listen(Number(process.env['PORT'] ?? 8080), process.env['HOST'] ?? '127.0.0.1');
await once(server, 'listening');
const bound = server.address();
if (bound !== null && typeof bound === 'object') console.log(`listening on http://${bound.address}:${bound.port}`);

await stopped;

// No new callers; those who wait for an ack get it. Then `await using` closes the client.
stopping = true;
const closed = once(server, 'close');
server.close();
await closed;
console.log('stopped');
