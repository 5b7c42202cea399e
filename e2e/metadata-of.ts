import { SluiceError } from '@sluice/base';
import { methods } from '@sluice/wire';
import type { MetadataUpdate } from '@sluice/wire';
import type { RawClient } from './raw-client.ts';

/** The first update of a metadata watch: all nodes and topics as this address tells them. */
export function metadataOf(raw: RawClient, address: string): Promise<MetadataUpdate> {
  return new Promise((resolve, reject) => {
    const stream = raw.rpc.stream(methods.admin.watchMetadata, address, {
      onMessage: (update) => {
        resolve(update);
        stream.close(new SluiceError('CANCELLED'));
      },
      onClose: (error) => reject(error ?? new SluiceError('CLOSED')),
    });
    stream.send({ clientId: 'raw', allTopics: true });
  });
}
