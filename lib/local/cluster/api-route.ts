import { ApiError } from './api-error.ts';
import { apiKinds, type ResourceName } from './api-objects.ts';

export interface ApiRoute {
  resource: ResourceName;
  /** '' is all namespaces. */
  namespace: string;
  name?: string;
  subresource?: string;
  query: URLSearchParams;
}

/**
 * Reads `/api/v1/…` and `/apis/apps/v1/…` paths.
 * @throws ApiError 404 for a path or resource that is not served.
 */
export function parseRoute(url: string): ApiRoute {
  const { pathname, searchParams } = new URL(url, 'http://cluster');
  const parts = pathname.split('/').slice(1).map(decodeURIComponent);
  const apiVersion = parts[0] === 'api' ? parts[1] : `${parts[1] ?? ''}/${parts[2] ?? ''}`;
  const rest = parts.slice(parts[0] === 'api' ? 2 : 3);
  const namespace = rest[0] === 'namespaces' ? (rest[1] ?? '') : '';
  const [resource = '', name, subresource, ...more] =
    rest[0] === 'namespaces' ? rest.slice(2) : rest;
  if (!isServed(resource) || apiKinds[resource].apiVersion !== apiVersion || more.length > 0) {
    throw new ApiError(404, 'NotFound', `the local cluster does not serve ${pathname}`);
  }
  return {
    resource,
    namespace,
    ...(name !== undefined && { name }),
    ...(subresource !== undefined && { subresource }),
    query: searchParams,
  };
}

function isServed(resource: string): resource is ResourceName {
  return Object.hasOwn(apiKinds, resource);
}
