/** Where a capture's index entry is, or will be when the capture is sealed. */
export interface IndexPlace {
  readonly objectKey: string;
  /** `s3://BUCKET/KEY`, as AWS's programs and `heapcatch show` take it. */
  readonly uri: string;
  /** The object's page in the AWS console; absent where the region is not known. */
  readonly consoleUrl?: string;
}

/** Console hosts by partition: https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html */
function consoleHost(region: string): string {
  if (region.startsWith('cn-')) return 'console.amazonaws.cn';
  return region.startsWith('us-gov-') ? 'console.amazonaws-us-gov.com' : 'console.aws.amazon.com';
}

/** @param objectKey made by indexKey. */
export function indexPlace(
  { bucketName, region }: { bucketName: string; region?: string | undefined },
  objectKey: string,
): IndexPlace {
  const query = `region=${region ?? ''}&prefix=${encodeURIComponent(objectKey)}`;
  return {
    objectKey,
    uri: `s3://${bucketName}/${objectKey}`,
    ...(region === undefined
      ? {}
      : { consoleUrl: `https://${consoleHost(region)}/s3/object/${bucketName}?${query}` }),
  };
}
