// `completion`: a script for bash or zsh that completes commands and flags. The script asks this program, so it needs no
// update when the commands change.
import type { ClientFlag, CommandDescription } from "./command-description.ts";
import { globalFlags } from "./global-flags.ts";

/** What may follow the words typed so far, of which the last is being typed. */
export function completions(words: readonly string[], commands: readonly CommandDescription[]): readonly string[] {
  const typed = words.at(-1) ?? "";
  const before = words.slice(0, -1).filter((word) => !word.startsWith("-"));
  const command = commands.find(({ name }) => name === before.slice(0, name.split(" ").length).join(" "));
  if (typed.startsWith("-")) {
    const flags: readonly ClientFlag[] = [...(command?.flags ?? []), ...globalFlags];
    return flags.map(({ name }) => `--${name}`).filter((flag) => flag.startsWith(typed));
  }
  if (command !== undefined) return [];
  const next = commands
    .map(({ name }) => name.split(" "))
    .filter((parts) => before.every((word, index) => parts[index] === word) && parts.length > before.length)
    .map((parts) => parts[before.length]!);
  const own = before.length === 0 ? ["serve", "help"] : [];
  return [...new Set([...next, ...own])].filter((word) => word.startsWith(typed)).sort();
}

const bash = `# Completion for bash: source <(quorate completion bash)
_quorate() {
  local IFS=$'\\n'
  COMPREPLY=($(quorate completion words -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _quorate quorate
`;

const zsh = `# Completion for zsh: source <(quorate completion zsh)
_quorate() {
  local -a found
  found=("\${(@f)$(quorate completion words -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  compadd -- $found
}
compdef _quorate quorate
`;

export const scripts: { readonly [shell: string]: string } = { bash, zsh };
