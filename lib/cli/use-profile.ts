/** Has every client of AWS that is made from now on take its credentials from a profile; `undefined` leaves all as it is. */
export function useProfile(
  profile: string | undefined,
  env: Record<string, string | undefined>,
): void {
  if (profile === undefined) return;
  env['AWS_PROFILE'] = profile;
  // They would be warned about, and stand in the way of a profile that names them as its source.
  for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN']) {
    // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- an empty variable counts as given
    delete env[name];
  }
}
