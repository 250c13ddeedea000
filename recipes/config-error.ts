// Why a configuration cannot be used, in a form that may be shown: values of secrets are not in it.
import { RecipeError, type RecipeErrorDetails } from "./errors.ts";

export interface ConfigIssue {
  /** Where, with dots; empty for the whole. */
  readonly path: string;
  readonly message: string;
}

/** A configuration was refused (`CONFIG_INVALID`) or could not be read (`CONFIG_UNAVAILABLE`). */
export class ConfigError extends RecipeError {
  override readonly name = "ConfigError";
  readonly issues: readonly ConfigIssue[];

  constructor(
    code: "CONFIG_INVALID" | "CONFIG_UNAVAILABLE",
    message: string,
    issues: readonly ConfigIssue[],
    details: RecipeErrorDetails = {},
  ) {
    super(code, message, details);
    this.issues = issues;
  }

  /** An error that lists what is wrong. */
  static of(issues: readonly ConfigIssue[], source?: string): ConfigError {
    const texts = issues.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`));
    const where = source === undefined ? "" : `${source}: `;
    return new ConfigError("CONFIG_INVALID", where + texts.join("; "), issues);
  }
}
