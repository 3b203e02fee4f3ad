import { describe, expect, it } from '@jest/globals';
import { ESLint, type Linter } from 'eslint';
import path from 'node:path';
import tseslint from 'typescript-eslint';

const project = path.resolve(import.meta.dirname, '../..');
const unlistedFile = 'unlisted.ts';
/** Judges by what is written alone; the rules that ask for types would read the whole project first. */
const eslint = new ESLint({
  cwd: project,
  overrideConfig: tseslint.configs.disableTypeChecked as Linter.Config,
});
/** Reads one file that no tsconfig.json lists, and the types that it imports. */
const typedEslint = new ESLint({
  cwd: project,
  overrideConfig: {
    languageOptions: {
      parserOptions: { projectService: { allowDefaultProject: [unlistedFile] } },
    },
  },
});

/** Rules that fire when `source` stands in place of the given file. */
async function rulesBroken(
  file: string,
  source: string,
  linter: ESLint = eslint,
): Promise<string[]> {
  const [result] = await linter.lintText(source, { filePath: path.join(project, file) });
  return result!.messages.map((message) => message.ruleId ?? message.message);
}

describe('lint', () => {
  it('holds the dependency direction and the purity of the pure folders', async () => {
    const broken = {
      'pure folder, adapter': await rulesBroken(
        'lib/policy/policy.ts',
        "import '../aws/event-bus.ts';\n",
      ),
      'pure folder, I/O': await rulesBroken('lib/signal/signal.ts', "import 'node:fs';\n"),
      'pure folder, clock': await rulesBroken(
        'lib/hprof/end-record.ts',
        'export const now = Date.now();\n',
      ),
      'pure folder of GC logs, clock': await rulesBroken(
        'lib/gc-log/log-clock.ts',
        'export const now = Date.now();\n',
      ),
      'pure folder, today': await rulesBroken(
        'lib/claim/claim-store.ts',
        'export const now = new Date();\n',
      ),
      'pure folder, environment': await rulesBroken(
        'lib/jvm/attach-protocol.ts',
        "export const home = process.env['HOME'];\n",
      ),
      'adapter, adapter': await rulesBroken(
        'lib/aws/stack-outputs.ts',
        "import '../kubernetes/cluster-api.ts';\n",
      ),
      'adapter, the other SDK': await rulesBroken(
        'lib/aws/stack-outputs.ts',
        "import '@kubernetes/client-node';\n",
      ),
      'outside lib/aws, SDK': await rulesBroken(
        'lib/capture/ports.ts',
        "import '@aws-sdk/client-s3';\n",
      ),
    };

    for (const [what, rules] of Object.entries(broken)) {
      expect([what, rules.filter((rule) => rule.startsWith('no-restricted')).length > 0]).toEqual([
        what,
        true,
      ]);
    }
    expect(await rulesBroken('lib/policy/policy.ts', "import '../errors.ts';\n")).toEqual([]);
  }, 120_000);

  it('catches floating promises and focused tests', async () => {
    expect(
      await rulesBroken(unlistedFile, 'async function f(): Promise<void> {}\nf();\n', typedEslint),
    ).toContain('@typescript-eslint/no-floating-promises');
    expect(
      await rulesBroken(
        'test/lint/dependency-rules.test.ts',
        "import { it } from '@jest/globals';\nit.only('x', () => undefined);\n",
      ),
    ).toContain('no-restricted-syntax');
  }, 120_000);

  it('catches regular expressions that some text keeps busy for longer than its length', async () => {
    const broken = async (expression: string): Promise<string[]> =>
      (await rulesBroken('lib/errors.ts', `export const seen = ${expression};\n`)).filter((rule) =>
        rule.startsWith('regexp/'),
      );

    expect(await broken('/^(?:a+)+b/')).toEqual(['regexp/no-super-linear-backtracking']);
    expect(await broken('/^\\d+\\.?\\d*$/')).toEqual(['regexp/no-super-linear-backtracking']);
    expect(await broken('/\\/+$/')).toEqual(['regexp/no-super-linear-move']);
    expect(await broken('/(?<!\\/)\\/+$/')).toEqual([]);
  }, 120_000);
});
