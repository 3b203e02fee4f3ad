import { parseRegistration, type ClusterAccess } from '../../cluster-access.ts';
import { messageOf } from '../../errors.ts';
import { functionsGroup, type Added } from './add-cluster.ts';
import type { IdentityOrder } from './words.ts';

/** A registered cluster as it may be shown: nothing of it is secret. */
export interface ClusterView {
  readonly clusterName: string;
  /** Absent where it is a whole kubeconfig, whose text is not shown. */
  readonly server?: string;
  readonly tlsServerName?: string;
  readonly identity:
    ClusterAccess['identity'] | { kind: 'kubeconfig' } | { kind: 'faulty'; fault: string };
  readonly registeredTime?: string;
}

/** @param registration its text, or what is known of it already. */
export function viewOf(
  clusterName: string,
  registration: string | { access: ClusterAccess },
  modifiedTime: string | undefined,
): ClusterView {
  const time = modifiedTime === undefined ? {} : { registeredTime: modifiedTime };
  let parsed: ReturnType<typeof parseRegistration>;
  try {
    parsed =
      typeof registration === 'string'
        ? parseRegistration(registration, clusterName)
        : registration;
  } catch (error) {
    return { clusterName, identity: { kind: 'faulty', fault: messageOf(error) }, ...time };
  }
  if ('kubeconfig' in parsed) return { clusterName, identity: { kind: 'kubeconfig' }, ...time };
  const { server, tlsServerName, identity, registeredTime } = parsed.access;
  return {
    clusterName,
    server,
    ...(tlsServerName === undefined ? {} : { tlsServerName }),
    identity,
    registeredTime,
  };
}

/** What is left to do in AWS for the functions to be let into an EKS cluster, ready to paste. */
export function accessEntryCommands(
  identity: IdentityOrder,
  access: ClusterAccess,
  roleArns: readonly string[],
): string[] {
  if (identity.kind !== 'eks' || access.identity.kind !== 'eks') return [];
  const { eksClusterName, region } = access.identity;
  return roleArns.map(
    (arn) =>
      `aws eks create-access-entry --region ${region} --cluster-name ${eksClusterName} --principal-arn ${arn} --kubernetes-groups ${functionsGroup}`,
  );
}

export function addedText(clusterName: string, added: Added, next: readonly string[]): string {
  const lines = [
    `cluster ${clusterName} is registered`,
    ...added.notes.map((note) => `  ${note}`),
    ...added.warnings.map((warning) => `  warning: ${warning}`),
  ];
  if (next.length > 0) lines.push('', 'Let the functions in, once a role:', ...next);
  return `${lines.join('\n')}\n`;
}

export function listText(views: readonly ClusterView[], now: Date): string {
  if (views.length === 0) return 'no cluster is registered\n';
  const rows = [
    ['NAME', 'IDENTITY', 'SERVER'],
    ...views.map((view) => [view.clusterName, identityText(view, now), view.server ?? '-']),
  ];
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows
    .map(
      ([name = '', identity = '', server = '']) =>
        `${name.padEnd(widths[0] ?? 0)}  ${identity.padEnd(widths[1] ?? 0)}  ${server}\n`,
    )
    .join('');
}

export function showText(view: ClusterView, now: Date): string {
  const rows = [
    ['name', view.clusterName],
    ['server', view.server ?? 'as its kubeconfig says'],
    ...(view.tlsServerName === undefined ? [] : [['server name', view.tlsServerName]]),
    ['identity', identityText(view, now)],
    ['registered', view.registeredTime ?? 'not known'],
  ];
  return rows.map(([name = '', value = '']) => `${`${name}:`.padEnd(13)}${value}\n`).join('');
}

function identityText({ identity }: ClusterView, now: Date): string {
  switch (identity.kind) {
    case 'eks':
      return `IAM, EKS ${identity.eksClusterName} in ${identity.region}`;
    case 'secret':
      return `secret ${identity.secretName}${endText(identity.expireTime, now)}`;
    case 'kubeconfig':
      return 'whole kubeconfig in the parameter';
    case 'faulty':
      return `faulty: ${identity.fault}`;
  }
}

function endText(expireTime: string | undefined, now: Date): string {
  if (expireTime === undefined) return '';
  const days = Math.floor((new Date(expireTime).getTime() - now.getTime()) / 86_400_000);
  return days < 0 ? ' (ENDED)' : ` (ends in ${days} days)`;
}
