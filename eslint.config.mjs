// The dependency rules of docs/architecture.md, held by lint: pure folders do no I/O and read no clock,
// adapters are the only importers of the SDKs and never import each other.
import regexp from 'eslint-plugin-regexp';
import tseslint from 'typescript-eslint';

const pure = ['signal', 'policy', 'claim', 'jvm', 'gc-log', 'hprof', 'dump-index', 'report'];
const adapters = ['aws', 'kubernetes'];
const programs = ['forwarder', 'agent', 'cli', 'local'];

const awsSdk = { regex: '^@aws-sdk/|^@smithy/', message: 'Only lib/aws imports the AWS SDK.' };
const kubernetesSdk = {
  regex: '^@kubernetes/client-node',
  message: 'Only lib/kubernetes imports the Kubernetes client.',
};
const noBarrels = {
  regex: '/index\\.ts$',
  message: 'No barrel files: import the file that defines it.',
};
/** A relative import of something in one of these folders, from inside lib or from beside it. */
const relative = (names, message) => ({ regex: `^\\.{1,2}/(.*/)?(${names.join('|')})/`, message });

const restricted = (...patterns) => ({
  'no-restricted-imports': ['error', { patterns: [noBarrels, ...patterns] }],
});
const pureImports = [
  awsSdk,
  kubernetesSdk,
  {
    regex: '^node:(?!crypto$|assert$)',
    message: 'Pure folders do no I/O: of Node they may import only node:crypto and node:assert.',
  },
  relative(
    [...adapters, ...programs, 'functions'],
    'Pure folders import neither adapters, programs nor functions.',
  ),
];
const noClock = {
  'no-restricted-globals': [
    'error',
    ...['process', 'fetch', 'setTimeout', 'setInterval', 'performance'].map((name) => ({
      name,
      message: 'Pure folders read no environment and no clock, and wait for nothing.',
    })),
  ],
  'no-restricted-properties': [
    'error',
    { object: 'Date', property: 'now', message: 'Pass the time as an argument.' },
    { object: 'Math', property: 'random', message: 'Pass randomness as an argument.' },
  ],
  'no-restricted-syntax': [
    'error',
    {
      selector: "NewExpression[callee.name='Date'][arguments.length=0]",
      message: 'Pass the time as an argument.',
    },
  ],
};

export default tseslint.config(
  { ignores: ['node_modules/**', 'dist/**', '.serverless/**', '.esbuild/**', 'coverage/**'] },
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      eqeqeq: 'error',
      ...restricted(),
    },
  },
  {
    files: ['lib/**/*.ts', 'functions/**/*.ts', 'infra/**/*.ts', 'bench/**/*.ts'],
    rules: {
      'no-console': 'error',
      'max-lines': ['error', { max: 300, skipBlankLines: false, skipComments: false }],
      'max-lines-per-function': ['error', { max: 60, skipBlankLines: true, skipComments: true }],
    },
  },
  {
    // Logs, names, annotations and replies come from outside: no text may keep an expression busy for longer than its length.
    files: ['lib/**/*.ts', 'functions/**/*.ts', 'infra/**/*.ts'],
    plugins: { regexp },
    rules: {
      'regexp/no-super-linear-backtracking': ['error', { report: 'potential' }],
      'regexp/no-super-linear-move': ['error', { report: 'potential', ignoreSticky: false }],
    },
  },
  {
    files: ['functions/**/*.ts', 'lib/**/*.ts', 'bench/**/*.ts'],
    rules: restricted(awsSdk, kubernetesSdk),
  },
  {
    files: pure.map((name) => `lib/${name}/**/*.ts`),
    rules: { ...restricted(...pureImports), ...noClock },
  },
  {
    // The state machine waits and calls ports; it imports no adapter and no program.
    files: ['lib/capture/**/*.ts'],
    rules: restricted(
      awsSdk,
      kubernetesSdk,
      relative([...adapters, ...programs, 'functions'], 'lib/capture speaks to ports only.'),
    ),
  },
  { files: ['lib/capture/plan*.ts'], rules: { ...restricted(...pureImports), ...noClock } },
  {
    files: ['lib/aws/**/*.ts'],
    rules: restricted(
      kubernetesSdk,
      relative(
        ['kubernetes', ...programs, 'functions'],
        'Adapters never import each other or programs.',
      ),
    ),
  },
  {
    files: ['lib/kubernetes/**/*.ts'],
    rules: restricted(
      awsSdk,
      relative(['aws', ...programs, 'functions'], 'Adapters never import each other or programs.'),
    ),
  },
  {
    files: ['lib/agent/**/*.ts'],
    rules: restricted(
      awsSdk,
      kubernetesSdk,
      relative(['aws', 'kubernetes', 'forwarder', 'cli', 'local'], 'The agent needs no SDK.'),
    ),
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      '@typescript-eslint/no-non-null-assertion': 'off',
      'no-restricted-syntax': [
        'error',
        {
          selector:
            'MemberExpression[object.name=/^(it|test|describe)$/][property.name=/^(only|skip|todo)$/]',
          message: 'No focused, skipped or planned tests.',
        },
      ],
    },
  },
);
