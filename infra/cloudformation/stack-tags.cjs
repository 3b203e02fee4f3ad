// Tags of everything in the stack: heapcatch's own two, and those of the parameter `tags`.
const tag = /^([\p{L}\p{Z}\p{N}_.:/+@-]{1,128})=([\p{L}\p{Z}\p{N}_.:/=+@-]{0,256})$/u;
const maxTagCount = 45; // CloudFormation accepts 50, two are ours

module.exports = async ({ resolveVariable }) => {
  const tags = { application: 'heapcatch', stage: await resolveVariable('sls:stage') };
  const text = String((await resolveVariable('param:tags')) ?? '');
  const words = text.split(',').map((word) => word.trim());
  for (const word of words.filter((one) => one !== '')) {
    const [, name, value] = tag.exec(word) ?? [];
    if (name === undefined || /^aws:/i.test(name)) {
      throw new Error(
        `tags: "${word}" is not a tag; accepted is a comma list of name=value, without commas in it`,
      );
    }
    tags[name] = value;
  }
  if (Object.keys(tags).length > maxTagCount)
    throw new Error(`tags: accepted are at most ${maxTagCount - 2}`);
  return tags;
};
