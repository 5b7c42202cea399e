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

/** Whichever service is first makes the topic: producing never does. */
export async function openOrdersTopic(sluice: Sluice): Promise<TopicDescription> {
  try {
    return await sluice.admin.createTopic({ name: ordersTopic, partitions: 6, replication: 3 });
  } catch (error) {
    if (!isSluiceError(error) || error.code !== 'TOPIC_EXISTS') throw error;
    return sluice.admin.describeTopic(ordersTopic);
  }
}
