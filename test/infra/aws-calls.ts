import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

const project = path.resolve(import.meta.dirname, '../..');

/** The IAM actions that one call of a port can ask for. Source: the API reference's permissions of the calls behind it. */
export const actionsOfCalls: Readonly<Record<string, readonly string[]>> = {
  'ObjectStore.putObject': ['s3:PutObject'],
  'ObjectStore.getObject': ['s3:GetObject'],
  'ObjectStore.headObject': ['s3:GetObject'],
  'ObjectStore.deleteObject': ['s3:DeleteObject'],
  'ObjectStore.listObjects': ['s3:ListBucket'],
  'ObjectStore.createMultipartUpload': ['s3:PutObject'],
  'ObjectStore.tagObject': ['s3:PutObjectTagging'],
  'ObjectStore.uploadPart': ['s3:PutObject'],
  'ObjectStore.listParts': ['s3:ListMultipartUploadParts'],
  'ObjectStore.completeMultipartUpload': ['s3:PutObject'],
  'ObjectStore.abortMultipartUpload': ['s3:AbortMultipartUpload'],
  'ObjectStore.presignGet': ['s3:GetObject'],
  'ObjectStore.presignPut': ['s3:PutObject'],
  'ObjectStore.presignParts': ['s3:PutObject'],
  'ClaimStore.readHistory': ['dynamodb:BatchGetItem'],
  'ClaimStore.readCapture': ['dynamodb:BatchGetItem'],
  'ClaimStore.tryAcquire': ['dynamodb:BatchGetItem', 'dynamodb:PutItem'],
  'ClaimStore.markStarted': [
    'dynamodb:BatchGetItem',
    'dynamodb:PutItem',
    'dynamodb:ConditionCheckItem',
  ],
  'ClaimStore.beginFinish': ['dynamodb:BatchGetItem', 'dynamodb:PutItem'],
  'ClaimStore.finish': ['dynamodb:BatchGetItem', 'dynamodb:PutItem', 'dynamodb:DeleteItem'],
  'ClaimStore.listOverdue': ['dynamodb:Query'],
  'ClaimStore.listRunning': ['dynamodb:Query'],
  'DataKeys.generate': ['kms:GenerateDataKey'],
  'DataKeys.decrypt': ['kms:Decrypt'],
};

/** Commands of the SDK by the action that they ask for, for what the stack's roles and the CLI's users need. */
export const actionsOfCommands: Readonly<Record<string, readonly string[]>> = {
  AbortMultipartUpload: ['s3:AbortMultipartUpload'],
  BatchGetItem: ['dynamodb:BatchGetItem'],
  CompleteMultipartUpload: ['s3:PutObject'],
  CreateMultipartUpload: ['s3:PutObject'],
  Decrypt: ['kms:Decrypt'],
  DeleteObject: ['s3:DeleteObject'],
  GenerateDataKey: ['kms:GenerateDataKey'],
  GetObject: ['s3:GetObject'],
  GetParameter: ['ssm:GetParameter'],
  GetParametersByPath: ['ssm:GetParametersByPath'],
  GetSecretValue: ['secretsmanager:GetSecretValue'],
  HeadObject: ['s3:GetObject'],
  ListObjectsV2: ['s3:ListBucket'],
  ListParts: ['s3:ListMultipartUploadParts'],
  PutEvents: ['events:PutEvents'],
  PutObject: ['s3:PutObject'],
  PutObjectTagging: ['s3:PutObjectTagging'],
  Query: ['dynamodb:Query'],
  TransactWriteItems: ['dynamodb:PutItem', 'dynamodb:DeleteItem', 'dynamodb:ConditionCheckItem'],
  UploadPart: ['s3:PutObject'],
};

/** Source files that a program reaches by its imports, types left out; paths from the project's folder. */
export function reachedFiles(
  entry: string,
  skip: (file: string) => boolean = () => false,
): string[] {
  const reached = new Set<string>();
  const visit = (file: string): void => {
    if (reached.has(file) || skip(file) || !existsSync(path.join(project, file))) return;
    reached.add(file);
    for (const imported of importsOf(sourceOf(file))) {
      visit(path.join(path.dirname(file), imported));
    }
  };
  visit(entry);
  return [...reached].sort();
}

export function sourceOf(file: string): string {
  return readFileSync(path.join(project, file), 'utf8');
}

function importsOf(source: string): string[] {
  const statements = /^(?:import|export)\s(?!type\b)[^;]*?from\s+'(\.[^']+)'/gms;
  const loads = /\bimport\('(\.[^']+)'\)/g;
  return [...source.matchAll(statements), ...source.matchAll(loads)].map(([, name]) => name!);
}

/** Commands of the SDK that files make, without the word Command. */
export function commandsIn(files: readonly string[]): string[] {
  const made = files.flatMap((file) =>
    [...sourceOf(file).matchAll(/\bnew (\w+)Command\(/g)].map(([, name]) => name!),
  );
  return [...new Set(made)].sort();
}

/** The methods of a port, by its declaration. */
export function methodsOf(port: string, file: string): string[] {
  const source = sourceOf(file);
  const begin = source.indexOf(`export interface ${port} {`);
  const body = source.slice(begin, source.indexOf('\n}', begin));
  return [...body.matchAll(/^ {2}(\w+)\(/gm)].map(([, name]) => name!).sort();
}

/** Which methods of the ports a function's own code calls. */
export function portCallsOf(functionName: string): string[] {
  const beyond = /^lib\/(aws|kubernetes|local)\/|^lib\/claim\/table-claim-store|\/wiring\.ts$/;
  const files = reachedFiles(`functions/${functionName}.ts`, (file) => beyond.test(file));
  const text = files.map(sourceOf).join('\n');
  return Object.keys(actionsOfCalls).filter((call) => {
    const [port, method] = call.split('.') as [string, string];
    const names = { ObjectStore: 'objects', ClaimStore: 'claims', DataKeys: 'dataKeys' }[port]!;
    return new RegExp(`\\b${names}\\.${method}\\(`).test(text);
  });
}
