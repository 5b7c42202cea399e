/**
 * The health check of the container: exit code 0 when the node answers that it is ready, else 1 and one line that says
 * why. The address is that of the admin listener, from the environment as the node reads it.
 */
import { get } from 'node:http';

const timeoutMs = 3000;
const bind = process.env['SLUICE_LISTENERS_ADMIN_BIND'] ?? '127.0.0.1:7652';

/** A listener on all addresses answers on loopback too. */
function readyzUrl() {
  const at = bind.lastIndexOf(':');
  const host = bind.slice(0, at);
  const wildcards = { '0.0.0.0': '127.0.0.1', '[::]': '[::1]', '::': '[::1]' };
  return `http://${Object.hasOwn(wildcards, host) ? wildcards[/** @type {keyof typeof wildcards} */ (host)] : host}:${bind.slice(at + 1)}/readyz?verbose`;
}

/** @param {string} reason */
function unhealthy(reason) {
  process.stdout.write(`not ready: ${reason}\n`);
  process.exit(1);
}

const request = get(readyzUrl(), { timeout: timeoutMs, agent: false }, (response) => {
  let body = '';
  response.setEncoding('utf8');
  response.on('data', (/** @type {string} */ chunk) => {
    body += chunk;
  });
  response.on('end', () => {
    if (response.statusCode === 200) process.exit(0);
    const waiting = [...body.matchAll(/^waiting (.*)$/gm)].map((match) => match[1]);
    unhealthy(waiting.length > 0 ? `waiting for ${waiting.join(', ')}` : `the answer was ${response.statusCode}`);
  });
});
request.on('error', (error) => unhealthy(`${bind}: ${error.message}`));
setTimeout(() => unhealthy(`${bind} did not answer within ${timeoutMs} ms`), timeoutMs);
