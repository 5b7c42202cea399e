import { Sluice } from '@sluice/client';

await using sluice = new Sluice({ bootstrap: ['127.0.0.1:7650'] });

const producer = sluice.producer();
const { partition, offset } = await producer.send('hello', { key: 'greeting', value: 'hello from TypeScript' });
console.log(`acked: partition ${partition}, offset ${offset}`);

const consumer = sluice.consumer({ assignments: [{ topic: 'hello', partition, from: offset }] });
for await (const batch of consumer.batches()) {
  for (const { value } of batch.records()) console.log(`read: ${new TextDecoder().decode(value ?? undefined)}`);
  break;
}
