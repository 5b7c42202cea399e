import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { removeLeftovers } from '../../scripts/docker-leftovers.ts';
import { dockerEngine, testLabels } from '../node-container.ts';
import { testImage } from '../test-image.ts';

test('what a killed suite left is removed by its label: running containers, their networks and volumes', async () => {
  const engine = await dockerEngine();
  const name = `sluice-e2e-${randomUUID().slice(0, 8)}`;
  const Labels = { ...testLabels, [name]: '' };
  await engine.createNetwork({ Name: name, Labels });
  await engine.createVolume({ Name: name, Labels });
  const container = await engine.createContainer({
    name,
    Image: testImage,
    Labels,
    Entrypoint: ['node', '-e', 'setInterval(() => undefined, 1000)'],
    HostConfig: { NetworkMode: name, Binds: [`${name}:/var/lib/sluice`] },
  });
  await container.start();
  expect(await removeLeftovers(name)).toEqual([`container ${name}`, `network ${name}`, `volume ${name}`]);
  await expect(container.inspect()).rejects.toMatchObject({ statusCode: 404 });
  await expect(engine.getNetwork(name).inspect()).rejects.toMatchObject({ statusCode: 404 });
  await expect(engine.getVolume(name).inspect()).rejects.toMatchObject({ statusCode: 404 });
  expect(await removeLeftovers(name)).toEqual([]);
});
