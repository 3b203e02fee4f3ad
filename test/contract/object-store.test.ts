import { createS3ObjectStore } from '../../lib/aws/s3-object-store.ts';
import { startLocalObjectStore } from '../../lib/local/object-store/object-store.ts';
import { objectStoreContract } from './object-store.ts';

objectStoreContract('local stand-in', async () => {
  const local = await startLocalObjectStore();
  return { objects: createS3ObjectStore(local), close: () => local.close() };
});

// A bucket that is really there: HEAPCATCH_CONTRACT_S3_BUCKET, with AWS_REGION and credentials of the environment,
// and HEAPCATCH_CONTRACT_S3_ENDPOINT where it is not AWS's own.
const bucketName = process.env['HEAPCATCH_CONTRACT_S3_BUCKET'];
if (bucketName !== undefined) {
  const endpoint = process.env['HEAPCATCH_CONTRACT_S3_ENDPOINT'];
  objectStoreContract(`bucket ${bucketName} at ${endpoint ?? 'S3'}`, () => {
    const objects = createS3ObjectStore({
      bucketName,
      ...(endpoint === undefined ? {} : { endpoint }),
    });
    return Promise.resolve({ objects, close: () => Promise.resolve() });
  });
}
