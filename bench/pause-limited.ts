import { startEnvironment } from '../test/e2e/environment.ts';
import { byHand, capture, withPod, type Way } from './path.ts';
import { metricOf, type Metric } from './report.ts';
import { repeatCount, say } from './settings.ts';

/** The pause of a dump in a container with a CPU limit of 1, by the node agent against kubectl exec and jcmd. */
export async function benchPauseLimited(): Promise<readonly Metric[]> {
  const environment = await startEnvironment({ jdks: [17] });
  try {
    await environment.installNodeAgent();
    const pauseOf = async (name: string, way: Way): Promise<number> =>
      (await withPod(environment, name, way, { cpuLimit: '1' })).pauseSeconds;
    const pairs: { ours: number; reference: number }[] = [];
    for (let repeat = 0; repeat <= repeatCount(); repeat += 1) {
      const ours = await pauseOf(`ours-${repeat}`, capture);
      const reference = await pauseOf(`reference-${repeat}`, byHand);
      say(JSON.stringify({ repeat, ours, reference }));
      if (repeat > 0) pairs.push({ ours, reference });
    }
    return [metricOf('pause/jcmd-17-limited', pairs)];
  } finally {
    await environment.close();
  }
}
