import type { CommandWords } from '../command-words.ts';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/** The completion script of a shell: commands, their options, else file names. */
export function completionScript(shell: Shell, commands: readonly CommandWords[]): string {
  if (shell === 'bash') return bashScript(commands);
  return shell === 'zsh' ? zshScript(commands) : fishScript(commands);
}

function bashScript(commands: readonly CommandWords[]): string {
  const cases = commands.map(
    ({ name, options, words = [] }) =>
      `    ${name}) words="${[...words, ...options, '--help'].join(' ')}" ;;\n`,
  );
  return `# bash completion of heapcatch: source <(heapcatch completion bash)
_heapcatch() {
  local current=\${COMP_WORDS[COMP_CWORD]} words=""
  if [[ $COMP_CWORD -eq 1 ]]; then
    COMPREPLY=($(compgen -W "${commands.map(({ name }) => name).join(' ')} --help" -- "$current"))
    return
  fi
  case \${COMP_WORDS[1]} in
${cases.join('')}  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _heapcatch heapcatch kubectl-heapcatch
`;
}

function zshScript(commands: readonly CommandWords[]): string {
  const list = commands.map(({ name, summary }) => `    '${name}:${summary}'\n`);
  const cases = commands.map(
    ({ name, options, words = [] }) =>
      `    ${name}) compadd -- ${[...words, ...options, '--help'].join(' ')}; _files ;;\n`,
  );
  return `#compdef heapcatch kubectl-heapcatch
# zsh completion of heapcatch: source <(heapcatch completion zsh)
_heapcatch() {
  local -a commands
  commands=(
${list.join('')}  )
  if (( CURRENT == 2 )); then
    _describe 'command' commands
    return
  fi
  case $words[2] in
${cases.join('')}  esac
}
compdef _heapcatch heapcatch kubectl-heapcatch
`;
}

function fishScript(commands: readonly CommandWords[]): string {
  const lines = commands.flatMap(({ name, summary, options, words = [] }) => [
    `complete -c heapcatch -n __fish_use_subcommand -a ${name} -d '${summary}'\n`,
    ...words.map(
      (word) => `complete -c heapcatch -n '__fish_seen_subcommand_from ${name}' -a ${word}\n`,
    ),
    ...[...options, '--help'].map(
      (option) =>
        `complete -c heapcatch -n '__fish_seen_subcommand_from ${name}' -l ${option.slice(2)}\n`,
    ),
  ]);
  return `# fish completion of heapcatch: heapcatch completion fish | source\n${lines.join('')}`;
}
