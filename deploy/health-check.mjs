/**
 * The health check of the container: exit code 0 when the node answers that it is ready, else 1 and one line that says
 * why. The address is that of the admin listener, from the environment as the node reads it.
 */
import { get } from 'node:http';

const timeoutMs = 3000;
/** Linux takes the address of all interfaces for loopback. */
const bind = process.env['SLUICE_LISTENERS_ADMIN_BIND'] ?? '127.0.0.1:7652';

/** @param {string} reason */
function unhealthy(reason) {
  process.stdout.write(`not ready: ${reason}\n`);
  process.exit(1);
}

const request = get(`http://${bind}/readyz?verbose`, { timeout: timeoutMs, agent: false }, (response) => {
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
