// Reading a stream as it comes.
import type { WireStream } from "../../conformance/wire-client.ts";

const batchMax = 256;

/** What has come, waiting for the first response at most so long. */
export async function takeSome<T extends object>(stream: WireStream, timeoutMs: number): Promise<readonly T[]> {
  const first = await stream.take(1, timeoutMs);
  return [...first, ...(await stream.take(batchMax, 0))] as T[];
}
