import { afterEach, describe, expect, it } from '@jest/globals';
import { createClusterRegistry } from '../../lib/aws/cluster-registry.ts';
import { listClusters } from '../../lib/aws/list-clusters.ts';
import { startJsonService, type JsonService, type ServiceReply } from './json-service.ts';

const secret = 'token: eyJhbGciOiJSUzI1NiJ9';
const holding = (value: string): ServiceReply => ({ body: { Parameter: { Value: value } } });
const fault = (type: string, status = 400): ServiceReply => ({
  status,
  body: { __type: type, message: `quotes ${secret}` },
});

describe('cluster registry', () => {
  let service: JsonService | undefined;
  let nowMillis = 0;
  const registryThatAnswers = async (...replies: ServiceReply[]) => {
    service = await startJsonService(...replies);
    return createClusterRegistry({
      parameterPrefix: '/heapcatch/prod/clusters',
      ...service.place,
      now: () => nowMillis,
    });
  };
  afterEach(() => service?.close());

  it("reads a cluster's registration, decrypted, and keeps it for five minutes", async () => {
    const registry = await registryThatAnswers(holding('first'), holding('second'));
    nowMillis = 1_000;

    expect(await registry.readRegistration('eu-1.a_b')).toBe('first');
    nowMillis += 299_999;
    expect(await registry.readRegistration('eu-1.a_b')).toBe('first');
    nowMillis += 1;
    expect(await registry.readRegistration('eu-1.a_b')).toBe('second');

    const request = {
      target: 'AmazonSSM.GetParameter',
      body: { Name: '/heapcatch/prod/clusters/eu-1.a_b', WithDecryption: true },
    };
    expect(service?.requests).toEqual([request, request]);
  });

  it('names the parameter of a cluster that is not registered, and looks again next time', async () => {
    const registry = await registryThatAnswers(fault('ParameterNotFound'), holding('late'));

    await expect(registry.readRegistration('eu-1')).rejects.toMatchObject({
      code: 'InvalidConfiguration',
      retryable: false,
      message:
        'parameter /heapcatch/prod/clusters/eu-1 does not exist; "heapcatch cluster add" writes it',
    });
    expect(await registry.readRegistration('eu-1')).toBe('late');
  });

  it.each(['', '../other', 'a/b', '-a', 'a.', 'a b', 'é', 'a'.repeat(101)])(
    'asks for nothing in the name of %j',
    async (clusterName) => {
      const registry = await registryThatAnswers(holding('x'));

      await expect(registry.readRegistration(clusterName)).rejects.toMatchObject({
        code: 'InvalidConfiguration',
      });
      expect(service?.requests).toEqual([]);
    },
  );

  it('names the missing rights', async () => {
    const registry = await registryThatAnswers(fault('AccessDeniedException'));

    await expect(registry.readRegistration('eu-1')).rejects.toMatchObject({
      code: 'InvalidConfiguration',
      message:
        'parameter /heapcatch/prod/clusters/eu-1 is forbidden (AccessDeniedException); needed are ssm:GetParameter and kms:Decrypt',
    });
  });

  it('is retryable when the parameters cannot be asked for', async () => {
    const registry = await registryThatAnswers(fault('InternalServerError', 500));

    await expect(registry.readRegistration('eu-1')).rejects.toMatchObject({
      code: 'ClusterUnavailable',
      retryable: true,
    });
  });

  it('refuses an empty parameter', async () => {
    const registry = await registryThatAnswers(holding(' \n'));

    await expect(registry.readRegistration('eu-1')).rejects.toThrow('is empty');
  });

  it('registers a cluster, and forgets what it knew of it', async () => {
    const registry = await registryThatAnswers(holding('old'), { body: {} }, holding('new'));
    await registry.readRegistration('eu-1');

    await registry.writeKubeconfig('eu-1', 'new');

    expect(await registry.readRegistration('eu-1')).toBe('new');
    expect(service?.requests[1]).toMatchObject({
      target: 'AmazonSSM.PutParameter',
      body: {
        Name: '/heapcatch/prod/clusters/eu-1',
        Value: 'new',
        Type: 'SecureString',
        Overwrite: true,
      },
    });
    await expect(registry.writeKubeconfig('eu-1', 'x'.repeat(8_193))).rejects.toThrow(
      'a kubeconfig of 8193 bytes for /heapcatch/prod/clusters/eu-1: accepted are 1 to 8192',
    );
  });

  it.each(['ValidationException', 'AccessDeniedException', 'InternalServerError'])(
    'shows nothing of a kubeconfig in the error that follows %s',
    async (type) => {
      const registry = await registryThatAnswers(fault(type));

      const error: unknown = await registry
        .writeKubeconfig('eu-1', secret)
        .catch((thrown: unknown) => thrown);

      expect(error).toBeInstanceOf(Error);
      const { message, stack, cause, details } = error as Error & { details: unknown };
      expect(JSON.stringify([message, stack, cause, details])).not.toContain('eyJ');
    },
  );
});

describe('the list of clusters', () => {
  const parameterPrefix = '/heapcatch/prod/clusters';
  let service: JsonService | undefined;
  afterEach(() => service?.close());

  it('has the names of all pages, without their values', async () => {
    const page = (names: string[], NextToken?: string): ServiceReply => ({
      body: {
        Parameters: names.map((name) => ({ Name: `${parameterPrefix}/${name}` })),
        NextToken,
      },
    });
    service = await startJsonService(page(['eu-2', 'eu-1'], 'more'), page(['us-1']));

    expect(await listClusters({ parameterPrefix, ...service.place })).toEqual([
      'eu-1',
      'eu-2',
      'us-1',
    ]);

    const asked = { Path: parameterPrefix };
    const target = 'AmazonSSM.GetParametersByPath';
    expect(service.requests).toEqual([
      { target, body: asked },
      { target, body: { ...asked, NextToken: 'more' } },
    ]);
  });

  it('says which right is missing', async () => {
    service = await startJsonService(fault('AccessDeniedException'));

    await expect(listClusters({ parameterPrefix, ...service.place })).rejects.toMatchObject({
      code: 'InvalidConfiguration',
      message: expect.stringContaining('ssm:GetParametersByPath') as unknown,
    });
  });
});
