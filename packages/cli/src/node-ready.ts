/** True once the node's `/readyz` answers 200: registered, and a controller is elected. */
export async function isNodeReady(admin: string): Promise<boolean> {
  try {
    const response = await fetch(`http://${admin}/readyz`, { signal: AbortSignal.timeout(1000) });
    await response.text();
    return response.status === 200;
  } catch {
    return false; // Not listening yet; the caller keeps the time.
  }
}
