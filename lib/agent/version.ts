/** The version that every manifest names; kept equal to package.json by a test. */
export const agentVersion = '0.1.0';
