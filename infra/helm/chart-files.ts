import { readFileSync } from 'node:fs';
import path from 'node:path';

const kubernetes = path.join(import.meta.dirname, '../kubernetes');

/** A manifest of infra/kubernetes, and the value of the chart without which it is not rendered. */
const sources: readonly { file: string; template: string; onlyWith?: string }[] = [
  { file: 'base/forwarder.yaml', template: 'forwarder.yaml' },
  { file: 'base/functions-access.yaml', template: 'functions-access.yaml' },
  { file: 'components/node-agent/agent.yaml', template: 'node-agent.yaml', onlyWith: 'nodeAgent' },
  {
    file: 'components/ephemeral-container/access.yaml',
    template: 'ephemeral-container.yaml',
    onlyWith: 'ephemeralContainers',
  },
  { file: 'components/exec/access.yaml', template: 'exec.yaml', onlyWith: 'exec' },
  {
    file: 'components/previous-log/access.yaml',
    template: 'previous-log.yaml',
    onlyWith: 'previousLog',
  },
  {
    file: 'components/functions-token/token.yaml',
    template: 'functions-token.yaml',
    onlyWith: 'functionsToken',
  },
  {
    file: 'components/network-policy/policies.yaml',
    template: 'network-policy.yaml',
    onlyWith: 'networkPolicy',
  },
  {
    file: 'components/priority/priority-class.yaml',
    template: 'priority-class.yaml',
    onlyWith: 'priorityClass',
  },
];

const written = '# Written by infra/helm/write.ts from infra/kubernetes. Change it there.\n';
const namespace = '{{ .Release.Namespace }}';
const required = (name: string): string =>
  `{{ required "${name} is not set" .Values.${name} | quote }}`;

/** Settings of the forwarder that are values of the chart. */
const settings: Readonly<Record<string, string>> = {
  HEAPCATCH_CLUSTER_NAME: required('clusterName'),
  HEAPCATCH_EVENT_BUS_NAME: required('eventBusName'),
  HEAPCATCH_NAMESPACES: '{{ .Values.namespaces | quote }}',
  HEAPCATCH_PROMETHEUS_URL: '{{ .Values.prometheusUrl | quote }}',
  AWS_REGION: required('region'),
};

/** The files of the chart that are made of the manifests, by their path in it. */
export function chartFiles(): Readonly<Record<string, string>> {
  const read = (file: string): string => readFileSync(path.join(kubernetes, file), 'utf8');
  const templates = sources.map(({ file, template, onlyWith }) => {
    const text = templateOf(file, read(file));
    const whole =
      onlyWith === undefined ? text : `{{- if .Values.${onlyWith} }}\n${text}{{- end }}\n`;
    return [`templates/${template}`, written + whole] as const;
  });
  return {
    ...Object.fromEntries(templates),
    'crds/jvm-monitor-crd.yaml': read('base/jvm-monitor-crd.yaml'),
  };
}

function templateOf(file: string, source: string): string {
  let text = source
    .replaceAll(/namespace: heapcatch(?=\s)/g, `namespace: ${namespace}`)
    .replaceAll('.heapcatch.svc', `.${namespace}.svc`)
    .replaceAll(/^( +)image: heapcatch$/gm, `$1image: ${required('image')}`)
    .replaceAll(
      /^( +)(serviceAccountName: heapcatch-(?:forwarder|agent))$/gm,
      '$1$2\n{{- if .Values.priorityClass }}\n$1priorityClassName: heapcatch\n{{- end }}',
    );
  if (file !== 'base/forwarder.yaml') return text;
  for (const [name, value] of Object.entries(settings)) {
    text = replaceOnce(text, new RegExp(`^(  ${name}:) [^#\\n]*?( *#.*)?$`, 'm'), `$1 ${value}$2`);
  }
  return replaceOnce(
    text,
    /^kind: ServiceAccount\nmetadata: \{ name: heapcatch-forwarder \}$/m,
    [
      'kind: ServiceAccount',
      'metadata:',
      '  name: heapcatch-forwarder',
      '{{- if .Values.forwarderRoleArn }}',
      '  annotations: { eks.amazonaws.com/role-arn: {{ .Values.forwarderRoleArn | quote }} }',
      '{{- end }}',
    ].join('\n'),
  );
}

/** @throws Error when it is not there: the manifest has changed, and this file has not. */
function replaceOnce(text: string, pattern: RegExp, replacement: string): string {
  if (!pattern.test(text)) throw new Error(`infra/helm: nothing matches ${String(pattern)}`);
  return text.replace(pattern, replacement);
}
