/** An answer of S3 that is an error: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html */
export class S3Fault extends Error {
  readonly status: number;
  readonly code: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: string,
    message: string,
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
    this.name = 'S3Fault';
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

export function notImplemented(what: string): S3Fault {
  return new S3Fault(501, 'NotImplemented', `${what} is not part of this stand-in`);
}

export function invalidArgument(message: string): S3Fault {
  return new S3Fault(400, 'InvalidArgument', message);
}

export function noSuchUpload(): S3Fault {
  const message =
    'The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.';
  return new S3Fault(404, 'NoSuchUpload', message);
}
