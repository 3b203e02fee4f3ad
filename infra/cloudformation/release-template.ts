/** As much of a template as is looked at here. */
export interface Template {
  Parameters?: Record<string, unknown>;
  Resources: Record<string, { Type: string; Properties: Record<string, unknown> }>;
  Outputs?: Record<string, unknown>;
}

/**
 * The packaged template as anything but the serverless program can deploy it: without that program's own bucket, and with
 * the functions' code where the parameters ArtifactBucket and ArtifactPrefix say. Files there are `capture.zip`, `seal.zip`, `sweep.zip`.
 */
export function releaseTemplate<T extends Template>(packaged: T): T {
  const template = structuredClone(packaged);
  for (const [name, resource] of Object.entries(template.Resources)) {
    if (name.startsWith('ServerlessDeploymentBucket')) {
      Reflect.deleteProperty(template.Resources, name);
    } else if (resource.Type === 'AWS::Lambda::Function') {
      const { S3Key } = resource.Properties['Code'] as { S3Key: string };
      const file = S3Key.slice(S3Key.lastIndexOf('/') + 1);
      resource.Properties['Code'] = {
        S3Bucket: { Ref: 'ArtifactBucket' },
        S3Key: { 'Fn::Sub': `\${ArtifactPrefix}${file}` },
      };
    }
  }
  Reflect.deleteProperty(template.Outputs ?? {}, 'ServerlessDeploymentBucketName');
  template.Parameters = {
    ...template.Parameters,
    ArtifactBucket: {
      Type: 'String',
      Description: 'Bucket of the functions’ code, in this region',
    },
    ArtifactPrefix: {
      Type: 'String',
      Default: '',
      Description: 'What precedes capture.zip in its key; another one for each version',
    },
  };
  return template;
}
