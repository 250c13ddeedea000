// Every rule of the rule files as a test of its own.
import { test } from "node:test";
import { rules } from "./rules.ts";

for (const { title, run } of rules) test(title, run);
