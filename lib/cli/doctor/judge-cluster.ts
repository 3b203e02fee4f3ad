import type { Right, WorkloadState } from '../../kubernetes/installation.ts';
import type { DoctorFacts, Finding, Seen } from './doctor-facts.ts';
import { failed, judge, ok, warning, type Verdict } from './judge-aws.ts';
import { rightText } from './needed-rights.ts';

const apply = 'apply infra/kubernetes again: kubectl apply -k infra/kubernetes/overlays/default';
const soonMillis = 14 * 86_400_000;

/** The links in the cluster, and those between it and AWS. */
export function judgeCluster(facts: DoctorFacts): Finding[] {
  const mayLook = 'whoever runs this needs to read the namespace of heapcatch';
  return [
    judgeRegistration(facts),
    judgeDryRun(facts),
    judge(
      'kube context',
      facts.context,
      { advice: 'give --context, or set KUBECONFIG' },
      (context) => ok(`${context.contextName}, ${context.server}`),
    ),
    judgeNamespace(facts),
    judge('forwarder', facts.forwarder, { advice: mayLook }, (found) =>
      judgeWorkload(found, 'Deployment heapcatch-forwarder'),
    ),
    judgeForwarderConfig(facts),
    judgeAgent(facts),
    judge(
      'JvmMonitor resource',
      facts.jvmMonitors,
      { state: 'warning', advice: mayLook },
      (there) =>
        there
          ? ok('defined')
          : warning('it is not defined: annotations of pods alone count', apply),
    ),
    judgeRights('rights of the forwarder', facts.forwarderRights),
    judgeRights('rights of the functions', facts.functionRights),
    judgeBus(facts),
  ];
}

function judgeRegistration({ registrations, clusterName, now }: DoctorFacts): Finding {
  const advice = 'to look takes ssm:GetParametersByPath and kms:Decrypt';
  return judge('registered cluster', registrations, { advice }, (views) => {
    const names = views.map((view) => view.clusterName).join(', ') || 'none';
    if (clusterName === undefined) {
      return failed(
        `registered are: ${names}`,
        'name one: --cluster NAME; or: heapcatch cluster add',
      );
    }
    const view = views.find((one) => one.clusterName === clusterName);
    if (view === undefined) {
      return failed(
        `${clusterName} is not registered; registered are: ${names}`,
        `heapcatch cluster add ${clusterName}`,
      );
    }
    const { identity } = view;
    if (identity.kind === 'faulty') return failed(identity.fault, 'register it again');
    if (identity.kind === 'kubeconfig') {
      return warning(
        `${clusterName} by a whole kubeconfig in the parameter`,
        'register it again with "heapcatch cluster add": the secret goes to Secrets Manager then',
      );
    }
    if (identity.kind === 'eks') return ok(`${clusterName} by IAM`);
    const { expireTime } = identity;
    const leftMillis =
      expireTime === undefined ? Infinity : new Date(expireTime).getTime() - now.getTime();
    if (leftMillis <= 0) {
      return failed(
        `its credentials ended at ${expireTime ?? ''}`,
        'register it again with new ones',
      );
    }
    if (leftMillis < soonMillis) {
      return warning(
        `its credentials end at ${expireTime ?? ''}`,
        'register it again with new ones',
      );
    }
    return ok(
      `${clusterName} by a secret${expireTime === undefined ? '' : ` until ${expireTime}`}`,
    );
  });
}

function judgeDryRun({ dryRun }: DoctorFacts): Finding {
  const unseen = {
    advice: 'to invoke takes lambda:InvokeFunction; else its log says why it failed',
  };
  return judge(
    'cluster API, from the function',
    dryRun,
    unseen,
    ({ decision, reason, message }) => {
      if (decision === 'skip') return ok('the function is let in, and may read pods');
      if (reason === 'ClusterForbidden') {
        return failed(
          message,
          'EKS: an access entry for each of the three roles, in the group heapcatch-cloud-functions; else: register the cluster again, and apply infra/kubernetes',
        );
      }
      return failed(
        message,
        'register the cluster again; a private endpoint takes functions in its VPC',
      );
    },
  );
}

function judgeNamespace({ namespaceLabels, agent }: DoctorFacts): Finding {
  const advice = 'to look takes get on namespaces';
  return judge('namespace', namespaceLabels, { state: 'warning', advice }, (labels) => {
    if (labels === undefined) return failed('it is not there', apply);
    const enforced = labels['pod-security.kubernetes.io/enforce'];
    const hasAgent = 'found' in agent && agent.found !== undefined;
    if (hasAgent && enforced !== undefined && enforced !== 'privileged') {
      return failed(
        `Pod Security ${enforced} does not let the node agent in, which needs hostPID`,
        'label the namespace pod-security.kubernetes.io/enforce=privileged, or leave the agent out',
      );
    }
    if (!hasAgent && enforced !== 'restricted') {
      return warning(
        `Pod Security is ${enforced ?? 'not enforced'}, and nothing here needs that`,
        'label the namespace pod-security.kubernetes.io/enforce=restricted',
      );
    }
    return ok(`Pod Security ${enforced ?? 'not enforced'}`);
  });
}

function judgeWorkload(found: WorkloadState | undefined, what: string): Verdict {
  if (found === undefined) return failed(`${what} is not there`, apply);
  const { readyCount, wantedCount, image } = found;
  const says = `${readyCount} of ${wantedCount} ready, image ${image}`;
  if (readyCount === 0) return failed(says, `kubectl -n heapcatch describe, and logs, of ${what}`);
  return readyCount < wantedCount ? warning(says, `look at the pods of ${what}`) : ok(says);
}

function judgeForwarderConfig(facts: DoctorFacts): Finding {
  const outputs = 'found' in facts.outputs ? facts.outputs.found : undefined;
  const region = 'found' in facts.caller ? facts.caller.found.region : undefined;
  const advice = 'to look takes get on configmaps';
  return judge(
    'forwarder and stack',
    facts.forwarderConfig,
    { state: 'warning', advice },
    (found) => {
      if (found === undefined) return failed('there is no ConfigMap heapcatch-forwarder', apply);
      const expected: [string, string | undefined][] = [
        ['HEAPCATCH_CLUSTER_NAME', facts.clusterName],
        ['HEAPCATCH_EVENT_BUS_NAME', outputs?.['SignalBusName']],
        ['AWS_REGION', region],
      ];
      const wrong = expected.filter(
        ([name, value]) => value !== undefined && found[name] !== value,
      );
      if (wrong.length === 0) return ok('cluster, bus and region agree');
      const says = wrong.map(
        ([name, value]) => `${name} is ${found[name] ?? 'not set'}, not ${value ?? ''}`,
      );
      return failed(says.join('; '), 'set it in your overlay, apply, and restart the forwarder');
    },
  );
}

function judgeAgent(facts: DoctorFacts): Finding {
  const { agent, ephemeralContainers, functions, forwarder } = facts;
  const capture = functions.find((one) => one.name === 'capture')?.seen;
  const agentImage = capture && 'found' in capture ? capture.found.agentImage : undefined;
  const advice = 'to look takes get on daemonsets';
  return judge('way to the JVM', agent, { advice }, (found) => {
    if (found !== undefined) {
      const verdict = judgeWorkload(found, 'DaemonSet heapcatch-agent');
      const other = 'found' in forwarder ? forwarder.found?.image : undefined;
      if (verdict.state !== 'ok' || other === undefined || other === found.image) return verdict;
      return warning(
        `agent ${found.image}, forwarder ${other}`,
        'run both from one image, the agents upgraded first',
      );
    }
    const may = 'found' in ephemeralContainers && ephemeralContainers.found;
    if (!may) {
      return failed(
        'no agent on the nodes, and the functions may add no ephemeral containers',
        'apply an overlay with the component node-agent or ephemeral-container',
      );
    }
    if (agentImage === undefined && capture !== undefined && 'found' in capture) {
      return failed(
        'only ephemeral containers, and the functions know no image for them',
        'deploy with --param agentImage=REGISTRY/heapcatch:VERSION',
      );
    }
    return ok(`ephemeral containers of ${agentImage ?? 'the image that the functions know'}`);
  });
}

function judgeRights(link: string, seen: Seen<readonly Right[]>): Finding {
  const advice = 'to ask for others takes create on subjectaccessreviews';
  return judge(link, seen, { state: 'warning', advice }, (missing) => {
    if (missing.length === 0) return ok('as docs/permissions.md lists them');
    if (missing.every(({ resource }) => resource === 'tokenreviews')) {
      return warning(
        'it cannot ask whose a token is: nodes’ sensors are not heard',
        'bind it to create on tokenreviews, which takes a ClusterRole; or leave it so',
      );
    }
    const named = missing.slice(0, 5).map(rightText).join('; ');
    const more = missing.length > 5 ? ` and ${missing.length - 5} more` : '';
    return failed(`missing: ${named}${more}`, apply);
  });
}

/** Whether signals go out: what waits in the spool is what the bus has not taken. */
function judgeBus({ forwarderMetrics }: DoctorFacts): Finding {
  const advice = 'to look takes get on pods/proxy; else read the log of the forwarder';
  return judge(
    'bus, from the forwarder',
    forwarderMetrics,
    { state: 'warning', advice },
    (pages) => {
      if (pages.length === 0) return failed('no forwarder runs', 'see the forwarder above');
      const sent = sumOf(pages, 'heapcatch_signals_sent_total');
      const waiting = sumOf(pages, 'heapcatch_spool_entries');
      const lost = sumOf(pages, 'heapcatch_signals_failed_total');
      if (waiting > 0) {
        return failed(
          `${waiting} signals wait, ${sent} were sent: the bus does not take them`,
          "attach the policy ForwarderPolicyArn to the role of the forwarder's service account; its log says what AWS answers",
        );
      }
      if (lost > 0) {
        return warning(
          `${lost} signals were given up, ${sent} sent`,
          'the log of the forwarder says why',
        );
      }
      return ok(
        sent === 0
          ? 'no signal yet: nothing has failed, and nothing is proven'
          : `${sent} signals sent`,
      );
    },
  );
}

/** Of all series of a metric, over all pages in the Prometheus text format. */
function sumOf(pages: readonly string[], name: string): number {
  return pages
    .flatMap((page) => page.split('\n'))
    .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
    .map((line) => Number(line.slice(line.lastIndexOf(' ') + 1)))
    .filter((value) => Number.isFinite(value))
    .reduce((sum, value) => sum + value, 0);
}
