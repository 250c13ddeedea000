// A member of its own for a run of h2spec, with TLS or without.
import { startMember } from "../support/member.ts";
import { type H2specReport, runH2spec } from "./run-h2spec.ts";

/** Any page would do: a member reads requests to their end before it answers. */
export const checkedPath = "/health";

export async function checkMember(program: string, isTls: boolean): Promise<H2specReport> {
  await using member = await startMember(isTls ? { clientScheme: "https", args: ["--auto-tls"] } : {});
  return await runH2spec(program, Number(new URL(member.endpoint).port), isTls, checkedPath);
}
