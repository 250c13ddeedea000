// Text that can be stored: what has a UTF-8 form that reads back as the same text.

/** False for text with half a surrogate pair, which UTF-8 cannot express. (Node 20 has the method, the library types do not.) */
export function isWellFormed(text: string): boolean {
  return (text as unknown as { isWellFormed(): boolean }).isWellFormed();
}
