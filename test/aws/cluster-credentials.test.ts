import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import { createCredentialsSource } from '../../lib/aws/cluster-credentials.ts';
import { createClusterRegistrations } from '../../lib/aws/cluster-registrations.ts';
import type { ClusterAccess } from '../../lib/cluster-access.ts';
import { startJsonService, type JsonService, type ServiceReply } from './json-service.ts';

const certificateAuthority = readFileSync(
  path.join(import.meta.dirname, '../forwarder/fixtures/tls/ca.crt'),
  'utf8',
);
const accessBy = (identity: ClusterAccess['identity']): ClusterAccess => ({
  ...{ schemaVersion: 1, server: 'https://10.0.0.1:6443', certificateAuthority, identity },
  registeredTime: '2026-01-01T00:00:00.000Z',
});
const bySecret = accessBy({ kind: 'secret', secretName: 'heapcatch/prod/clusters/eu-1' });
const secretOf = (value: string): ServiceReply => ({ body: { SecretString: value } });
const fault = (type: string, status = 400): ServiceReply => ({
  ...{ status, body: { __type: type, message: 'quotes eyJsecret' } },
});

let service: JsonService | undefined;
let nowMillis = 0;
const start = async (...replies: ServiceReply[]) => (service = await startJsonService(...replies));
const targets = () => service?.requests.map(({ target }) => target.split('.').at(-1));
afterEach(() => service?.close());

describe('credentials of a registered cluster', () => {
  it('read a token once in five minutes, and anew when it was refused', async () => {
    const { place } = await start(secretOf('t1'), secretOf('{"token":"t2"}'), secretOf('t3'));
    const credentials = createCredentialsSource(bySecret, { ...place, now: () => nowMillis });

    expect(await credentials()).toEqual({ token: 't1' });
    nowMillis += 299_999;
    expect(await credentials()).toEqual({ token: 't1' });
    expect(await credentials({ fresh: true })).toEqual({ token: 't2' });
    nowMillis += 300_000;
    expect(await credentials()).toEqual({ token: 't3' });
    expect(service?.requests[0]).toEqual({
      target: 'secretsmanager.GetSecretValue',
      body: { SecretId: 'heapcatch/prod/clusters/eu-1' },
    });
  });

  it.each([
    ['ResourceNotFoundException', 'InvalidConfiguration', 'does not exist'],
    ['AccessDeniedException', 'InvalidConfiguration', 'secretsmanager:GetSecretValue'],
    ['ThrottlingException', 'ClusterUnavailable', 'could not be asked for'],
  ])('say after %s what is the matter, show nothing, and ask again', async (type, code, says) => {
    const { place } = await start(fault(type), fault(type), fault(type), secretOf('late'));
    const credentials = createCredentialsSource(bySecret, place);

    const error: unknown = await credentials().catch((thrown: unknown) => thrown);

    expect(error).toMatchObject({ code, message: expect.stringContaining(says) });
    expect(String((error as Error).stack)).not.toContain('eyJ');
    const late = await credentials()
      .catch(() => credentials())
      .catch(() => credentials());
    expect(late).toEqual({ token: 'late' });
  });

  it('refuse a secret that holds something else, without showing it', async () => {
    const { place } = await start(secretOf('{"tocken":"eyJsecret"}'));

    const error: unknown = await createCredentialsSource(bySecret, place)().catch(
      (thrown: unknown) => thrown,
    );

    expect(error).toMatchObject({ code: 'InvalidConfiguration' });
    expect((error as Error).message).toContain('accepted are a token');
    expect((error as Error).message).not.toContain('eyJ');
  });

  it('sign an IAM token without asking anybody, and anew after ten minutes', async () => {
    const { place } = await start(fault('NobodyIsAsked'));
    const access = accessBy({ kind: 'eks', eksClusterName: 'shop', region: 'eu-central-1' });
    const credentials = createCredentialsSource(access, { ...place, now: () => nowMillis });
    const tokenNow = async () => ((await credentials()) as { token: string }).token;
    nowMillis = Date.UTC(2026, 0, 1);

    const first = await tokenNow();
    nowMillis += 10 * 60_000 - 1;
    expect(await tokenNow()).toBe(first);
    nowMillis += 1;
    const second = await tokenNow();

    const dates = [first, second].map(
      (token) => /X-Amz-Date=(\w+)/.exec(Buffer.from(token.slice(11), 'base64url').toString())?.[1],
    );
    expect(dates).toEqual(['20260101T000000Z', '20260101T001000Z']);
    expect(service?.requests).toEqual([]);
  });
});

describe('the registrations of a stage', () => {
  const registrations = async (...replies: ServiceReply[]) => {
    const { place } = await start(...replies);
    return createClusterRegistrations({ ...place, parameterPrefix: '/heapcatch/prod/clusters' });
  };

  it('write the secret before the parameter that names it, which holds no secret', async () => {
    const written = await registrations({ body: {} });

    await written.write('eu-1', bySecret, { token: 'eyJsecret' });

    expect(targets()).toEqual(['CreateSecret', 'PutParameter']);
    const [secret, parameter] = service?.requests ?? [];
    expect(secret?.body).toMatchObject({
      ...{ Name: 'heapcatch/prod/clusters/eu-1', SecretString: '{"token":"eyJsecret"}' },
    });
    expect(parameter?.body).toMatchObject({
      ...{ Name: '/heapcatch/prod/clusters/eu-1', Type: 'SecureString', Overwrite: true },
    });
    expect(JSON.parse(String(parameter?.body['Value']))).toEqual(bySecret);
  });

  it.each([
    ['is there', 'ResourceExistsException', ['CreateSecret', 'PutSecretValue', 'PutParameter']],
    [
      'was removed this week',
      'InvalidRequestException',
      ['CreateSecret', 'RestoreSecret', 'PutSecretValue', 'PutParameter'],
    ],
  ])('put a new value into a secret that %s', async (_case, type, expected) => {
    const written = await registrations(fault(type), { body: {} });

    await written.write('eu-1', bySecret, { token: 't' });

    expect(targets()).toEqual(expected);
  });

  it('leave the parameter alone when the secret cannot be written', async () => {
    const written = await registrations(fault('AccessDeniedException'));

    await expect(written.write('eu-1', bySecret, { token: 'eyJsecret' })).rejects.toMatchObject({
      code: 'InvalidConfiguration',
      message: expect.not.stringContaining('eyJ'),
    });
    expect(targets()).toEqual(['CreateSecret']);
  });

  it('remove both, and say whether there was one', async () => {
    const first = await registrations({ body: {} });
    expect(await first.remove('eu-1')).toBe(true);
    expect(targets()).toEqual(['DeleteParameter', 'DeleteSecret']);
    await service?.close();

    const second = await registrations(
      fault('ParameterNotFound'),
      fault('ResourceNotFoundException'),
    );
    expect(await second.remove('eu-1')).toBe(false);
  });

  it('list all pages, by name', async () => {
    const parameter = (name: string) => ({
      ...{ Name: `/heapcatch/prod/clusters/${name}`, Value: name, LastModifiedDate: 1_767_225_600 },
    });
    const listed = await registrations(
      { body: { Parameters: [parameter('us-1')], NextToken: 'n' } },
      { body: { Parameters: [parameter('eu-1')] } },
    );

    const modifiedTime = '2026-01-01T00:00:00.000Z';
    expect(await listed.list()).toEqual([
      { clusterName: 'eu-1', text: 'eu-1', modifiedTime },
      { clusterName: 'us-1', text: 'us-1', modifiedTime },
    ]);
    expect(service?.requests[1]?.body).toMatchObject({ NextToken: 'n', WithDecryption: true });
  });
});
