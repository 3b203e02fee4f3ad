import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endOf } from './lab.ts';
import { metricOf, type Metric } from './report.ts';
import { heapMebibytes, repeatCount, say } from './settings.ts';

type Way = 'put' | 'parts' | 'md5' | 'bare';

const worker = join(import.meta.dirname, 'upload-worker.ts');

/**
 * CPU seconds (user and system, of the sending process) for a GiB that goes up over TLS: the agent's PUT, its whole way from
 * finished frames to acknowledged parts, and a bare PUT with the MD5 of its bytes, each against a bare https PUT of the same bytes. The server is node:https with a certificate of
 * its own in a third process: it swallows the body and answers with an ETag, so that no disk is measured.
 */
export async function benchUploadCpu(): Promise<readonly Metric[]> {
  const folder = mkdtempSync(join(tmpdir(), 'heapcatch-bench-'));
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-subj', '/CN=bench'],
      ...['-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', certificate],
    ],
    { stdio: 'ignore' },
  );
  const server = spawn(process.execPath, [worker, 'server', key, certificate], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  try {
    const url = await new Promise<string>((resolve, reject) => {
      server.stdout.once('data', (line: Buffer) => resolve(line.toString().trim()));
      server.once('exit', () => reject(new Error('the https server ended')));
    });
    const secondsPerGibibyte = (way: Way): number => {
      const mebibytes = heapMebibytes();
      const said = execFileSync(process.execPath, [worker, way, url, String(mebibytes)], {
        env: { ...process.env, NODE_EXTRA_CA_CERTS: certificate },
        timeout: 600_000,
      });
      return (Number(said.toString()) / mebibytes) * 1024;
    };
    const repeats: Record<Way, number>[] = [];
    for (let repeat = 0; repeat <= repeatCount(); repeat += 1) {
      const each = {
        put: secondsPerGibibyte('put'),
        bare: secondsPerGibibyte('bare'),
        parts: secondsPerGibibyte('parts'),
        md5: secondsPerGibibyte('md5'),
      };
      say(JSON.stringify({ repeat, ...each }));
      if (repeat > 0) repeats.push(each);
    }
    const against = (name: string, way: Way): Metric =>
      metricOf(
        name,
        repeats.map((each) => ({ ours: each[way], reference: each.bare })),
      );
    return [
      against('upload-cpu/https', 'put'),
      against('upload-cpu/https-parts', 'parts'),
      against('upload-cpu/https-md5', 'md5'),
    ];
  } finally {
    await endOf(server);
    rmSync(folder, { recursive: true, force: true });
  }
}
