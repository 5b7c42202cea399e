import { compressionOver } from '@sluice/record';
import { nodeZlib } from '@sluice/wire';

/** All codecs, over those that Node brings. */
export const nodeCompression = compressionOver(nodeZlib);
