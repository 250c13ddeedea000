// Cancellation, as Node's own APIs do it: an error named AbortError.

export class AbortError extends Error {
  override readonly name = "AbortError";

  constructor(message = "the operation was cancelled", options?: { readonly cause?: unknown }) {
    super(message, options);
  }
}

/** Whether an error says that somebody cancelled; other libraries have classes of their own with this name. */
export function isAbortError(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}
