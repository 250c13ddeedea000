// The token that user and password are exchanged for. Fetched once for all calls, and again when a member refuses it.
import { createDeferred, onAbort, sleep } from "./abort.ts";
import { type Caller, deadlineMs, type TokenSource } from "./caller.ts";
import { ClientError, DeadlineError } from "./errors.ts";
import { authMethods } from "./methods.ts";
import type { CallOptions, Credentials } from "./options.ts";
import { abortError } from "./server-errors.ts";

export function createTokenSource(caller: Caller, credentials: Credentials): TokenSource {
  let token: string | undefined;
  let fetching: Promise<string> | undefined;

  const fetchToken = async (): Promise<string> => {
    try {
      const answer = await caller.unary(authMethods.authenticate, credentials, {}, { isAnonymous: true });
      token = answer.token;
    } catch (error) {
      // Credentials may be configured before the cluster asks for them. It will refuse an empty token when it does.
      if (!(error instanceof ClientError) || !error.message.includes("authentication is not enabled")) throw error;
      token = "";
    }
    return token;
  };

  return {
    async current(options: CallOptions): Promise<string> {
      if (token !== undefined) return token;
      // One exchange for all who wait; each of them gives up on its own.
      fetching ??= fetchToken().finally(() => {
        fetching = undefined;
      });
      return within(fetching, options);
    },
    refuse(refused: string): void {
      // A later token must survive the refusal of an earlier one that was still under way.
      if (token === refused) token = undefined;
    },
  };
}

/** Waits no longer than this one caller may; the exchange goes on for the others. */
async function within<T>(promise: Promise<T>, { signal, deadline }: CallOptions): Promise<T> {
  const { promise: over, reject } = createDeferred<never>();
  const stopListening = onAbort(signal, () => reject(abortError(signal!, "notApplied")));
  const done = new AbortController();
  void sleep(deadlineMs(deadline, Number.POSITIVE_INFINITY), done.signal).then(() =>
    reject(new DeadlineError("the deadline passed before a token was there")),
  );
  try {
    return await Promise.race([promise, over]);
  } finally {
    done.abort();
    stopListening();
  }
}
