import { commandWords } from '../command-words.ts';
import {
  exitCodes,
  helpOption,
  misunderstood,
  readWords,
  runCommand,
  type Output,
} from '../command-line.ts';
import { completionScript, shells } from './scripts.ts';

export const usage = `heapcatch completion bash|zsh|fish

Writes the completion script of a shell: commands and their options. To have it in every new shell:

  echo 'source <(heapcatch completion bash)' >> ~/.bashrc
  echo 'source <(heapcatch completion zsh)' >> ~/.zshrc
  heapcatch completion fish > ~/.config/fish/completions/heapcatch.fish

Exit codes: 0 written; 2 not understood.
`;

/** `heapcatch completion`, on the process's own streams. */
export function runCompletionCommand(words: readonly string[]): Promise<number> {
  return completion(words, {
    write: (text) => void process.stdout.write(text),
    writeError: (text) => void process.stderr.write(text),
  });
}

export function completion(words: readonly string[], outside: Output): Promise<number> {
  return runCommand('completion', outside, (io) => {
    const { values, positionals } = readWords(words, helpOption);
    const [name, ...others] = positionals;
    const shell = shells.find((known) => known === name);
    if (values.help === true) io.write(usage);
    else if (shell === undefined || others.length > 0) {
      throw misunderstood(`accepted is one of ${shells.join(', ')}`);
    } else io.write(completionScript(shell, commandWords));
    return Promise.resolve(exitCodes.done);
  });
}
