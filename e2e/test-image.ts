/** Names that the container tests and the test command agree on. */

/** Built by the test command before the container tests. */
export const testImage = 'sluice:e2e';

/** On every container, network and volume that a test makes: the test command removes those that a killed suite left. */
export const testLabel = 'sluice-e2e';
