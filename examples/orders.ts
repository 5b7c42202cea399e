/** What the order service and the billing service agree on: where the cluster is, the topic, and what an order is. */
import { isSluiceError } from '@sluice/client';
import type { Sluice, TopicDescription } from '@sluice/client';

/** Any of the nodes would do to learn of the others; with all of them it does not matter which one is down. */
export const bootstrap = (process.env['SLUICE_BOOTSTRAP'] ?? '127.0.0.1:7650,127.0.0.1:7660,127.0.0.1:7670').split(',');

export const ordersTopic = 'orders';

export interface Order {
  /** Chosen by whoever orders: the same id again is the same order again. */
  readonly id: string;
  readonly customer: string;
  readonly cents: number;
}

/** Undefined for anything that is not an order. What is known from elsewhere, as the id in a path, is given. */
export function parseOrder(text: string, given: Partial<Order> = {}): Order | undefined {
  const { id, customer, cents } = { ...fieldsOf(text), ...given };
  if (typeof id !== 'string' || id === '' || typeof customer !== 'string' || customer === '') return undefined;
  if (typeof cents !== 'number' || !Number.isSafeInteger(cents) || cents < 0) return undefined;
  return { id, customer, cents };
}

function fieldsOf(text: string): { readonly [Field in keyof Order]?: unknown } {
  try {
    const value = JSON.parse(text) as unknown;
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}

/**
 * What both services do first. It ends the process with a line that says why when the topic cannot be had, and at once
 * when it is told to stop meanwhile: nothing is under way yet.
 */
export async function openOrdersTopic(sluice: Sluice, stopped: Promise<unknown>): Promise<TopicDescription> {
  console.error(`looking for the cluster at ${bootstrap.join(', ')}`);
  let open = false;
  void stopped.then(() => {
    if (!open) process.exit(0);
  });
  try {
    const topic = await makeOrFind(sluice);
    open = true;
    return topic;
  } catch (error) {
    if (!isSluiceError(error)) throw error;
    console.error(`cannot open the topic ${ordersTopic}: ${error.code}: ${error.message}`);
    process.exit(1);
  }
}

/** Whichever service is first makes it: producing never does. */
async function makeOrFind(sluice: Sluice): Promise<TopicDescription> {
  try {
    return await sluice.admin.createTopic({ name: ordersTopic, partitions: 6, replication: 3 });
  } catch (error) {
    if (!isSluiceError(error) || error.code !== 'TOPIC_EXISTS') throw error;
    return sluice.admin.describeTopic(ordersTopic);
  }
}
